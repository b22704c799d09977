"""A bias, a depthwise convolution and GELU in one operation.

On a CPU all are one pass over memory, in either direction.
"""

import functools
from typing import Any

import jax
from jax import lax

from van_jax.ops import depthwise
from van_jax.ops.bias import add_bias
from van_jax.ops.cpu.depthwise import call as numba_cpu
from van_jax.ops.gelu import gelu, gelu_and_slope


def depthwise_conv_gelu(
  x: jax.Array,
  kernel: jax.Array,
  *,
  bias: jax.Array,
  input_bias: jax.Array,
  dilation: int = 1,
  implementation: str = "auto",
) -> jax.Array:
  """Returns GELU(depthwise_conv(x + input_bias, kernel, bias=bias)).

  The zeros around the map are zeros: they get no bias.

  Args:
    x: [B, H, W, C], floating.
    kernel: [kh, kw, 1, C], floating.
    bias: [C].
    input_bias: [C].
    dilation: distance between neighbouring taps, >= 1.
    implementation: one of `depthwise.list_implementations()`.
  """
  depthwise.check(x, kernel, bias, dilation, implementation)
  if input_bias.shape != bias.shape:
    raise ValueError(
      f"input_bias.shape={input_bias.shape} does not fit x.shape={x.shape}: it "
      f"must be {bias.shape}, a number a channel."
    )
  return _convolve_gelu(x, kernel, bias, input_bias, dilation, implementation)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _convolve_gelu(x, kernel, bias, input_bias, dilation, implementation):
  def plain(x, kernel, bias, input_bias):
    x = add_bias(x, input_bias)
    return gelu(_convolve(x, kernel, bias, dilation, implementation))

  fused = functools.partial(numba_cpu.convolve_gelu, dilation=dilation)
  return _where_fused(implementation, fused, plain, x, kernel, bias, input_bias)


def _forward(x, kernel, bias, input_bias, dilation, implementation):
  def plain(x, kernel, bias, input_bias):
    x = add_bias(x, input_bias)
    y: Any = _convolve(x, kernel, bias, dilation, implementation)
    return x, *gelu_and_slope(y)

  def fused(x, kernel, bias, input_bias):
    return x, *numba_cpu.convolve_gelu_and_slope(
      x, kernel, bias, input_bias, dilation
    )

  # What is kept is the sum where it is in memory anyway, else x.
  kept, result, slope = _where_fused(
    implementation, fused, plain, x, kernel, bias, input_bias
  )
  return result, (kept, kernel, bias, input_bias, slope)


def _backward(dilation, implementation, residuals, gradient):
  def plain(x, kernel, bias, input_bias, slope, gradient):
    _, vjp = jax.vjp(
      lambda x, kernel, bias: _convolve(
        x, kernel, bias, dilation, implementation
      ),
      x,
      kernel,
      bias,
    )
    x_gradient, *others = vjp(gradient * slope)
    _, vjp_of_bias = jax.vjp(lambda bias: add_bias(x, bias), input_bias)
    return x_gradient, *others, *vjp_of_bias(x_gradient)

  fused = functools.partial(numba_cpu.gelu_gradients, dilation=dilation)
  return _where_fused(implementation, fused, plain, *residuals, gradient)


_convolve_gelu.defvjp(_forward, _backward)


def _convolve(x, kernel, bias, dilation, implementation):
  return depthwise.depthwise_conv(
    x, kernel, bias=bias, dilation=dilation, implementation=implementation
  )


def _where_fused(implementation, fused, plain, x, *others):
  """Runs `fused` where the implementation is numba_cpu, else `plain`."""
  if implementation == "numba_cpu" and numba_cpu.takes(x.dtype):
    return fused(x, *others)
  if implementation == "auto" and depthwise.on_cpu(x.dtype) == "numba_cpu":
    return lax.platform_dependent(x, *others, cpu=fused, default=plain)
  return plain(x, *others)
