"""Depthwise convolution and GELU in one operation.

On a CPU both are one pass over memory, in either direction.
"""

import functools
from typing import Any

import jax
from jax import lax

from van_jax.ops import depthwise, numba_cpu
from van_jax.ops.gelu import gelu, slope


def depthwise_conv_gelu(
  x: jax.Array,
  kernel: jax.Array,
  *,
  bias: jax.Array,
  dilation: int = 1,
  implementation: str = "auto",
) -> jax.Array:
  """Returns the GELU of `depthwise.depthwise_conv`, of the same arguments.

  Args:
    x: [B, H, W, C], floating.
    kernel: [kh, kw, 1, C], floating.
    bias: [C].
    dilation: distance between neighbouring taps, >= 1.
    implementation: one of `depthwise.list_implementations()`.
  """
  depthwise.check(x, kernel, bias, dilation, implementation)
  return _convolve_gelu(x, kernel, bias, dilation, implementation)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _convolve_gelu(x, kernel, bias, dilation, implementation):
  def plain(x, kernel, bias):
    return gelu(_convolve(x, kernel, bias, dilation, implementation))

  fused = functools.partial(numba_cpu.convolve_gelu, dilation=dilation)
  return _where_fused(implementation, fused, plain, x, kernel, bias)


def _forward(x, kernel, bias, dilation, implementation):
  def plain(x, kernel, bias):
    y: Any = _convolve(x, kernel, bias, dilation, implementation)
    return y, gelu(y)

  fused = functools.partial(numba_cpu.convolve_and_gelu, dilation=dilation)
  y, result = _where_fused(implementation, fused, plain, x, kernel, bias)
  return result, (x, kernel, bias, y)


def _backward(dilation, implementation, residuals, gradient):
  def plain(x, kernel, bias, y, gradient):
    _, vjp = jax.vjp(
      lambda x, kernel, bias: _convolve(
        x, kernel, bias, dilation, implementation
      ),
      x,
      kernel,
      bias,
    )
    return vjp(gradient * slope(y))

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
