"""Depthwise convolution by Pallas kernels for TPUs.

XLA's grouped convolution takes 4 to 16 times the cycles that the vector units
need, and leaves most of a register's lanes empty where there are fewer than
128 channels. These kernels lay maps out as [H, W, S, L], (S, L) being batch
and channels in the order that fills registers of (8, 128), so that a tap is
one multiplication of whole registers. Elsewhere than on TPUs they run in
Pallas's interpreter, slowly: for tests. float64, which Mosaic has not, and maps
too wide for a TPU's VMEM are left to XLA's convolution.
"""

import functools

import jax
import jax.numpy as jnp

from van_jax.ops import grouped
from van_jax.ops.gelu import add_bias
from van_jax.ops.placement import per_device
from van_jax.ops.shifted_sum import offsets
from van_jax.ops.tpu import forward
from van_jax.ops.tpu.kernel_gradient import kernel_sums
from van_jax.ops.tpu.layout import Layout
from van_jax.ops.tpu.plan import Taps
from van_jax.ops.tpu.weights import gather, spread


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def depthwise_conv(
  x: jax.Array,
  kernel: jax.Array,
  bias: jax.Array | None,
  dilation: int,
  least_examples: int = 1,
) -> jax.Array:
  """Returns the depthwise convolution of x, [B, H, W, C].

  Accumulates in float32 or wider. In a program of several devices each takes
  an equal share of the batch.

  Args:
    x: [B, H, W, C].
    kernel: [kh, kw, 1, C].
    bias: [C], or None.
    dilation: distance between neighbouring taps.
    least_examples: a device; of fewer the convolution and the gradient for x
      are left to XLA's, which pads none. The kernel's gradient is not.
  """
  if bias is None:
    bias = jnp.zeros(x.shape[-1:], x.dtype)
  (y,) = _correlate(
    x,
    kernel,
    bias,
    dilation=dilation,
    backwards=False,
    least_examples=least_examples,
  )
  return y


def _forward(x, kernel, bias, dilation, least_examples):
  y = depthwise_conv(x, kernel, bias, dilation, least_examples)
  return y, (x, kernel, bias)


def _backward(dilation, least_examples, residuals, gradient):
  x, kernel, bias = residuals
  C = x.shape[-1]
  nothing = jnp.zeros((C,), x.dtype)
  (x_gradient,) = _correlate(
    gradient,
    kernel,
    nothing,
    dilation=dilation,
    backwards=True,
    least_examples=least_examples,
  )
  size = kernel.shape[:2]
  (sums,) = _parameter_gradients(x, gradient, dilation=dilation, size=size)
  return (
    x_gradient,
    sums[:-1].reshape(kernel.shape).astype(kernel.dtype),
    None if bias is None else sums[-1].astype(bias.dtype),
  )


depthwise_conv.defvjp(_forward, _backward)


def _correlate_locally(x, kernel, bias, *, dilation, backwards, interpret):
  """Returns the convolution, or its gradient for x, of one device's x."""
  # What a tap brought from o positions ahead goes back by o. Negated offsets
  # hold for even kernels too, where a flipped kernel would shift the map.
  taps = _taps(kernel.shape[:2], dilation)
  taps = taps.negated() if backwards else taps
  layout = Layout(*x.shape)
  plan = layout.plan(taps, x.dtype, maps=2)
  if plan is None or (x.dtype == jnp.float64 and not interpret):
    return _correlate_by_xla(
      x, kernel, bias, dilation=dilation, backwards=backwards
    )
  kernel = kernel[::-1, ::-1, 0] if backwards else kernel[:, :, 0]
  weights, bias = (
    spread(
      plan, layout.pad_channels(a), jnp.promote_types(x.dtype, jnp.float32)
    )
    for a in (kernel, bias[None, None])
  )
  y = forward.convolve(
    plan, layout.apply(x), weights, bias, interpret=interpret
  )
  return [layout.undo(y)]


def _correlate_by_xla(x, kernel, bias, *, dilation, backwards):
  """Returns what `_correlate_locally` does."""
  convolve = functools.partial(grouped.depthwise_conv, dilation=dilation)
  if backwards:
    return jax.linear_transpose(lambda x: convolve(x, kernel), x)(x)
  return [add_bias(convolve(x, kernel), bias)]


_correlate = per_device(
  "depthwise_correlate",
  _correlate_locally,
  _correlate_by_xla,
  platform="tpu",
  split=(True, False, False),
  summed=(False,),
)


def _parameter_gradients_locally(x, gradient, *, dilation, size, interpret):
  """Returns kernel's and bias's gradient, [kh * kw + 1, C], of one device's x.

  In one array, so that devices add them up at once.
  """
  layout = Layout(*x.shape)
  plan = layout.plan(_taps(size, dilation), x.dtype, maps=3)
  if plan is None or (x.dtype == jnp.float64 and not interpret):
    return _parameter_gradients_by_xla(
      x, gradient, dilation=dilation, size=size
    )
  sums = kernel_sums(
    plan, layout.apply(x), layout.apply(gradient), interpret=interpret
  )
  results = [gather(plan, s)[..., : x.shape[-1]] for s in sums]
  return [jnp.concatenate([r.reshape(-1, x.shape[-1]) for r in results])]


def _parameter_gradients_by_xla(x, gradient, *, dilation, size):
  """Returns what `_parameter_gradients_locally` does."""
  wide = jnp.promote_types(x.dtype, jnp.float32)
  x, gradient = x.astype(wide), gradient.astype(wide)
  kernel = jax.ShapeDtypeStruct((*size, 1, x.shape[-1]), wide)
  (result,) = jax.linear_transpose(
    lambda kernel: grouped.depthwise_conv(x, kernel, dilation), kernel
  )(gradient)
  return [
    jnp.concatenate(
      [result.reshape(-1, x.shape[-1]), jnp.sum(gradient, (0, 1, 2))[None]]
    )
  ]


_parameter_gradients = per_device(
  "depthwise_parameter_gradients",
  _parameter_gradients_locally,
  _parameter_gradients_by_xla,
  platform="tpu",
  split=(True, True),
  summed=(True,),
)


def _taps(size, dilation):
  rows, columns = (offsets(n, dilation) for n in size)
  return Taps(first=(rows[0], columns[0]), step=dilation, count=tuple(size))
