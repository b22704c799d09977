"""Depthwise convolution as a sum of shifted copies of the map.

XLA's grouped convolution runs on the CPU without vector instructions; a sum
of k*k shifted, scaled maps becomes one fused, vectorised loop. Taps that fall
outside the map at every position (VAN's last stages, small images) are
dropped while tracing.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

_CACHED = 2**18  # Numbers in all accumulators of the kernel gradient: 1 MiB.


def padding(size: int, dilation: int) -> tuple[int, int]:
  """Returns the zeros (before, after) an axis that keep its length.

  They add up to dilation * (size - 1), the smaller half first: the 3 + 3 of
  torch's `padding=3` for a 7-tap kernel, and 1 + 2 for a 4-tap one.

  Args:
    size: taps along the axis.
    dilation: distance between neighbouring taps.
  """
  total = dilation * (size - 1)
  return total // 2, total - total // 2


def offsets(size: int, dilation: int) -> tuple[int, ...]:
  """Returns where each tap reads, relative to the position it writes.

  >>> offsets(3, 2), offsets(4, 1)
  ((-2, 0, 2), (-1, 0, 1, 2))
  """
  before, _ = padding(size, dilation)
  return tuple(tap * dilation - before for tap in range(size))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise_conv(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
  """Returns the depthwise convolution of x, [B, H, W, C].

  Accumulates in float32 or wider.

  Args:
    x: [B, H, W, C].
    kernel: [kh, kw, 1, C].
    dilation: distance between neighbouring taps.
  """
  return _shifted_sum(x, kernel, *_offsets(kernel, dilation))


def _forward(x, kernel, dilation):
  return depthwise_conv(x, kernel, dilation), (x, kernel)


def _backward(dilation, residuals, gradient):
  x, kernel = residuals
  rows, columns = _offsets(kernel, dilation)
  # What a tap brought from o positions ahead goes back by o. Negated offsets
  # hold for even kernels too, where a flipped kernel would shift the map.
  back_rows, back_columns = [-o for o in rows], [-o for o in columns]
  x_gradient = _shifted_sum(gradient, kernel, back_rows, back_columns)
  kernel_gradient = _kernel_gradient(x, gradient, rows, columns)
  return x_gradient.astype(x.dtype), kernel_gradient.astype(kernel.dtype)


depthwise_conv.defvjp(_forward, _backward)


def _offsets(kernel, dilation):
  height, width = kernel.shape[:2]
  return offsets(height, dilation), offsets(width, dilation)


def _shifted_sum(
  x: jax.Array,
  kernel: jax.Array,
  rows: Sequence[int],
  columns: Sequence[int],
) -> jax.Array:
  """Returns sum over taps of kernel[tap] * x moved by its offset."""
  _, H, W, _ = x.shape
  wide = jnp.promote_types(x.dtype, jnp.float32)
  padded = _pad(x, rows, columns).astype(wide)
  top, left = _reach(rows, H)[0], _reach(columns, W)[0]
  total = jnp.zeros(x.shape, wide)
  for p, row in _live(rows, H):
    for q, column in _live(columns, W):
      moved = padded[
        :, top + row : top + row + H, left + column : left + column + W
      ]
      total += moved * kernel[p, q].astype(wide)[None, None]
  return total.astype(x.dtype)


def _kernel_gradient(
  x: jax.Array,
  gradient: jax.Array,
  rows: Sequence[int],
  columns: Sequence[int],
) -> jax.Array:
  """Returns sum over positions of gradient * x moved by each tap's offset.

  XLA's CPU backend keeps the order of float sums, so that reducing the
  product of two maps a tap runs without vector instructions. Here a scan over
  bands of rows adds products elementwise into one small accumulator a tap,
  and only those are reduced.

  Args:
    x: [B, H, W, C].
    gradient: [B, H, W, C], of the convolution's result.
    rows: offset of each row of taps.
    columns: offset of each column of taps.

  Returns:
    [kh, kw, 1, C].
  """
  B, H, W, C = x.shape
  top, left = _reach(rows, H)[0], _reach(columns, W)[0]
  live = [(p, q) for p in _live(rows, H) for q in _live(columns, W)]
  # One part a device, so that a batch sharded over them all stays in place.
  parts = math.gcd(B, jax.device_count())
  band = _band(H, parts * W * C * len(live))
  wide = jnp.promote_types(x.dtype, jnp.float32)
  padded = _in_parts(_pad(x, rows, columns), parts)
  gradient = _in_parts(gradient, parts)

  def add_band(sums, start):
    example, row = start
    image = lax.dynamic_index_in_dim(padded, example, 1, keepdims=False)
    image = lax.dynamic_slice_in_dim(
      image, row, band + sum(_reach(rows, H)), 1
    ).astype(wide)
    error = lax.dynamic_index_in_dim(gradient, example, 1, keepdims=False)
    error = lax.dynamic_slice_in_dim(error, row, band, 1).astype(wide)
    products = [
      error * image[:, top + o : top + o + band, left + u : left + u + W]
      for (_, o), (_, u) in live
    ]
    return [a + b for a, b in zip(sums, products, strict=True)], None

  examples = jnp.repeat(jnp.arange(B // parts), H // band)
  starts = jnp.tile(jnp.arange(0, H, band), B // parts)
  zeros = [jnp.zeros((parts, band, W, C), wide)] * len(live)
  sums, _ = lax.scan(add_band, zeros, (examples, starts))
  result = jnp.zeros((len(rows), len(columns), 1, C), wide)
  for ((p, _), (q, _)), total in zip(live, sums, strict=True):
    result = result.at[p, q, 0].set(jnp.sum(total, (0, 1, 2)))
  return result


def _in_parts(x: jax.Array, parts: int) -> jax.Array:
  """Returns x, [B, ...], as [parts, B / parts, ...]."""
  return x.reshape(parts, -1, *x.shape[1:])


def _band(height: int, row_size: int) -> int:
  """Returns the rows a term: as many as keep the accumulators in the cache."""
  fitting = max(1, _CACHED // max(1, row_size))
  return max(
    n for n in range(1, height + 1) if height % n == 0 and n <= fitting
  )


def _live(offsets: Sequence[int], length: int) -> list[tuple[int, int]]:
  """Returns the (tap, offset) pairs that meet the map somewhere."""
  return [(tap, o) for tap, o in enumerate(offsets) if abs(o) < length]


def _reach(offsets: Sequence[int], length: int) -> tuple[int, int]:
  """Returns how far live taps reach (before, after) the map."""
  live = [offset for _, offset in _live(offsets, length)]
  return max(0, -min(live, default=0)), max(0, max(live, default=0))


def _pad(x: jax.Array, rows: Sequence[int], columns: Sequence[int]):
  """Returns x, [B, H, W, C], with the zeros that its live taps read."""
  _, H, W, _ = x.shape
  return jnp.pad(x, ((0, 0), _reach(rows, H), _reach(columns, W), (0, 0)))
