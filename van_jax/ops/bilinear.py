"""Bilinear resizing as torch's align_corners=False, up and down.

Without antialiasing. A resize is a product with a matrix that has one or two
weights a row: no gather, whose gradient would be a scatter, and which TPUs do
slowly. Two resizes in a row are one matrix. A whole multiple is cheaper: a few
blends of a map with itself, shifted by one.
"""

import jax
import jax.numpy as jnp
from jax import lax

# Of float32 products: TPUs would round the factors to bfloat16.
EXACT = lax.Precision.HIGHEST


def weights(
  index: jax.Array, size: int, new_size: jax.Array | int
) -> jax.Array:
  """Returns what places of a resized axis are made of, [..., size] float32.

  Place i lies at (i + 0.5) * size / new_size - 0.5 of the axis, moved in where
  that is beyond its first or last place, as in torch's `F.interpolate`.

  Args:
    index: [...], whole numbers, places of the resized axis; those beyond its
      end are made of the last place.
    size: places of the axis.
    new_size: [...] or [], places of the resized axis.
  """
  scale = jnp.float32(size) / jnp.asarray(new_size, jnp.float32)
  place = jnp.clip((index + jnp.float32(0.5)) * scale - 0.5, 0, size - 1)
  places = jnp.arange(size, dtype=jnp.float32)
  places = places.reshape((1,) * place.ndim + (size,))
  return jnp.maximum(0, 1 - jnp.abs(place[..., None] - places))


def axis_weights(size: int, new_size: int) -> jax.Array:
  """Returns the matrix of a whole axis, [new_size, size] float32."""
  return weights(jnp.arange(new_size), size, new_size)


def resize(x: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Returns x at another height and width, float32 [B, *size, C].

  Args:
    x: [B, H, W, C].
    size: (height, width).
  """
  x = x.astype(jnp.float32)
  for axis, by_matrix in ((1, rows), (2, columns)):
    before, after = x.shape[axis], size[axis - 1]
    if after % before:
      x = by_matrix(axis_weights(before, after), x)
    elif after > before:
      x = enlarged(with_neighbours(x, axis), axis, after // before)
  return x


def enlarged(x: jax.Array, axis: int, ratio: int) -> jax.Array:
  """Returns an axis enlarged by a whole ratio, all but its first and last.

  Those are neighbours that the outermost others need, and may be repetitions
  of them: the ends of a map are.

  Args:
    x: of any shape, at least 3 along the axis.
    axis: from 0.
    ratio: places for each, at least 1.

  Returns:
    x with (size - 2) * ratio places along the axis.
  """
  last = x.shape[axis] - 1
  before, own, after = (
    lax.slice_in_dim(x, start, last - 1 + start, axis=axis)
    for start in (0, 1, 2)
  )
  blends = []
  for i in range(ratio):
    place = (i + 0.5) / ratio - 0.5
    other = before if place < 0 else after
    blends.append((1 - abs(place)) * own + abs(place) * other)
  shape = (*x.shape[:axis], (last - 1) * ratio, *x.shape[axis + 1 :])
  return jnp.stack(blends, axis + 1).reshape(shape)


def with_neighbours(x: jax.Array, axis: int, *, more: int = 0) -> jax.Array:
  """Returns an axis with its ends repeated, as `enlarged` takes it.

  Args:
    x: of any shape.
    axis: from 0.
    more: repetitions of the last one, beside one of each.
  """
  first = lax.slice_in_dim(x, 0, 1, axis=axis)
  last = lax.slice_in_dim(x, x.shape[axis] - 1, None, axis=axis)
  # Not jnp.pad: the gradient of its "edge" is sent from device to device.
  return jnp.concatenate([first, x, *[last] * (1 + more)], axis)


def rows(matrix: jax.Array, x: jax.Array) -> jax.Array:
  """Returns other rows of maps, [B, N, W, C].

  Args:
    matrix: [N, H], or [B, N, H] with one for each map.
    x: float32 [B, H, W, C].
  """
  of = "bnh" if matrix.ndim == 3 else "nh"
  return jnp.einsum(f"{of},bhwc->bnwc", matrix, x, precision=EXACT)


def columns(matrix: jax.Array, x: jax.Array) -> jax.Array:
  """Returns other columns of maps, [B, H, N, C].

  Args:
    matrix: [N, W], or [B, N, W] with one for each map.
    x: float32 [B, H, W, C].
  """
  of = "bnw" if matrix.ndim == 3 else "nw"
  return jnp.einsum(f"{of},bhwc->bhnc", matrix, x, precision=EXACT)
