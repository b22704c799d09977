"""Depthwise convolution by Pallas kernels for TPUs.

XLA's grouped convolution takes 8 to 16 times the cycles that the vector units
need, and leaves most of a register's lanes empty where there are fewer than
128 channels. These kernels lay maps out as [H, W, S, L], (S, L) being batch
and channels in the order that fills registers of (8, 128), so that a tap is
one multiplication of whole registers. Elsewhere than on TPUs they run in
Pallas's interpreter, slowly: for tests.
"""

import functools

import jax
import jax.numpy as jnp

from van_jax.ops import (
  pallas_tpu_forward,
  pallas_tpu_kernel_gradient,
  pallas_tpu_weights,
  taps as tap_offsets,
  xla,
)
from van_jax.ops.pallas_tpu_layout import Layout
from van_jax.ops.pallas_tpu_placement import per_device
from van_jax.ops.pallas_tpu_plan import Taps


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise_conv(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
  """Returns the depthwise convolution of x, [B, H, W, C].

  Accumulates in float32 or wider. In a program of several devices each takes
  an equal share of the batch.

  Args:
    x: [B, H, W, C].
    kernel: [kh, kw, 1, C].
    dilation: distance between neighbouring taps.
  """
  return _correlate(x, kernel, dilation=dilation, backwards=False)


def _forward(x, kernel, dilation):
  return depthwise_conv(x, kernel, dilation), (x, kernel)


def _backward(dilation, residuals, gradient):
  x, kernel = residuals
  return (
    _correlate(gradient, kernel, dilation=dilation, backwards=True),
    _kernel_gradient(
      x, gradient, dilation=dilation, size=kernel.shape[:2]
    ).astype(kernel.dtype),
  )


depthwise_conv.defvjp(_forward, _backward)


def _correlate_locally(x, kernel, *, dilation, backwards, interpret):
  """Returns the convolution, or its gradient for x, of one device's x."""
  if not interpret and x.dtype == jnp.float64:  # Mosaic has none.
    return _correlate_by_xla(x, kernel, dilation=dilation, backwards=backwards)
  taps = _taps(kernel.shape[:2], dilation)
  kernel = kernel[:, :, 0]
  if backwards:
    # What a tap brought from o positions ahead goes back by o. Negated offsets
    # hold for even kernels too, where a flipped kernel would shift the map.
    taps, kernel = taps.negated(), kernel[::-1, ::-1]
  layout = Layout(*x.shape)
  plan = layout.plan(taps, x.dtype, maps=2)
  weights = pallas_tpu_weights.spread(
    plan, layout.pad_channels(kernel), jnp.promote_types(x.dtype, jnp.float32)
  )
  y = pallas_tpu_forward.convolve(
    plan, layout.apply(x), weights, interpret=interpret
  )
  return layout.undo(y)


def _correlate_by_xla(x, kernel, *, dilation, backwards):
  """Returns what `_correlate_locally` does."""
  convolve = functools.partial(xla.depthwise_conv, dilation=dilation)
  if not backwards:
    return convolve(x, kernel)
  return jax.linear_transpose(lambda x: convolve(x, kernel), x)(x)[0]


_correlate = per_device(
  "depthwise_correlate",
  _correlate_locally,
  _correlate_by_xla,
  split=(True, False),
  summed=False,
)


def _kernel_gradient_locally(x, gradient, *, dilation, size, interpret):
  """Returns the gradient for the kernel, [kh, kw, 1, C], of one device's x."""
  if not interpret and x.dtype == jnp.float64:
    return _kernel_gradient_by_xla(x, gradient, dilation=dilation, size=size)
  layout = Layout(*x.shape)
  plan = layout.plan(_taps(size, dilation), x.dtype, maps=3)
  sums = pallas_tpu_kernel_gradient.kernel_sums(
    plan, layout.apply(x), layout.apply(gradient), interpret=interpret
  )
  result = pallas_tpu_weights.gather(plan, sums)
  return result[:, :, None, : x.shape[-1]]


def _kernel_gradient_by_xla(x, gradient, *, dilation, size):
  """Returns what `_kernel_gradient_locally` does."""
  wide = jnp.promote_types(x.dtype, jnp.float32)
  x, gradient = x.astype(wide), gradient.astype(wide)
  kernel = jax.ShapeDtypeStruct((*size, 1, x.shape[-1]), wide)
  return jax.linear_transpose(
    lambda kernel: xla.depthwise_conv(x, kernel, dilation), kernel
  )(gradient)[0]


_kernel_gradient = per_device(
  "depthwise_kernel_gradient",
  _kernel_gradient_locally,
  _kernel_gradient_by_xla,
  split=(True, True),
  summed=True,
)


def _taps(size, dilation):
  first = tuple(tap_offsets.offsets(n, dilation)[0] for n in size)
  return Taps(first=first, step=dilation, count=tuple(size))
