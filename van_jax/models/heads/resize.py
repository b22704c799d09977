"""Maps brought to another size, with the samples that PyTorch takes.

They are sums of shifted maps and not products with matrices: those would cost
more than some of the convolutions around them.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from van_jax.ops import bilinear as whole

_AXES = (2, 1)  # Across, then down, as torch adds up.


def bilinear(x: jax.Array, size: Sequence[int]) -> jax.Array:
  """Returns the map at another size, [B, h, w, C], of x's dtype.

  Output pixel i of n lies at (i + 1/2) N / n - 1/2 of N, between the first and
  the last; both ways, and without antialiasing: torch's
  `interpolate(mode="bilinear", align_corners=False)`. The arithmetic is in
  float32 or wider.

  Args:
    x: [B, H, W, C], floating.
    size: (h, w), at least 1.
  """
  y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  for axis in _AXES:
    before, after = y.shape[axis], size[axis - 1]
    if after % before:
      y = _sampled(y, axis, after)
    elif after > before:
      y = whole.enlarged(whole.with_neighbours(y, axis), axis, after // before)
  return y.astype(x.dtype)


def nearest(x: jax.Array, size: Sequence[int]) -> jax.Array:
  """Returns the map at another size, [B, h, w, C]; pixel i is floor(i N / n).

  That is torch's `interpolate(mode="nearest")`.

  Args:
    x: [B, H, W, C].
    size: (h, w), at least 1.
  """
  for axis in _AXES:
    before, after = x.shape[axis], size[axis - 1]
    if after % before == 0:
      x = jnp.repeat(x, after // before, axis)
    else:
      x = jnp.take(x, np.arange(after) * before // after, axis)
  return x


def _sampled(x: jax.Array, axis: int, size: int) -> jax.Array:
  """Returns an axis at any size: a blend of two pixels for each."""
  before = x.shape[axis]
  places = (np.arange(size) + 0.5) * before / size - 0.5
  places = np.clip(places, 0, before - 1)
  lower = np.floor(places).astype(np.int32)
  upper = np.minimum(lower + 1, before - 1)
  shape = [1, 1, 1, 1]
  shape[axis] = size
  weight = jnp.asarray((places - lower).reshape(shape), x.dtype)
  return (1 - weight) * jnp.take(x, lower, axis) + weight * jnp.take(
    x, upper, axis
  )
