"""Depthwise convolution as a sum of shifted copies of the map.

XLA's grouped convolution runs on the CPU without vector instructions; a sum
of k*k shifted, scaled maps becomes one fused, vectorised loop. Taps that fall
outside the map at every position (VAN's last stages, small images) are
dropped while tracing.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from van_jax.ops import taps


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
  return taps.offsets(height, dilation), taps.offsets(width, dilation)


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


def _kernel_gradient(x, gradient, rows, columns):
  _, H, W, C = x.shape
  wide = jnp.promote_types(x.dtype, jnp.float32)
  padded = _pad(x, rows, columns).astype(wide)
  gradient = gradient.astype(wide)
  top, left = _reach(rows, H)[0], _reach(columns, W)[0]
  out = [[jnp.zeros((1, C), wide)] * len(columns) for _ in rows]
  for p, row in _live(rows, H):
    for q, column in _live(columns, W):
      moved = padded[
        :, top + row : top + row + H, left + column : left + column + W
      ]
      out[p][q] = jnp.sum(moved * gradient, (0, 1, 2))[None]
  return jnp.stack([jnp.stack(r) for r in out])


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
