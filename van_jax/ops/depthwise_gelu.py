"""A bias, a depthwise convolution and GELU in one operation.

On a CPU all are one pass over memory, in either direction; by the kernels for
NVIDIA's GPUs one forward and two backward.
"""

import functools
from typing import Any

import jax
from jax import lax

from van_jax import errors
from van_jax.ops import by_platform, depthwise
from van_jax.ops.by_platform import Way
from van_jax.ops.cpu.depthwise import call as loops
from van_jax.ops.gelu import (
  add_bias,
  gelu,
  gelu_and_slope,
  gelu_and_slope_on_gpu,
)
from van_jax.ops.gpu import call as gpu_kernels

# Implementations that do all at once.
_FUSED = {"numba_cpu": loops, "pallas_gpu": gpu_kernels}


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
    implementation: one of `list_implementations()`.

  Raises:
    UserError: on shapes, dilation or a name that make no such convolution.
  """
  depthwise.check(x, kernel, bias, dilation)
  if input_bias.shape != bias.shape:
    raise errors.UserError(
      f"input_bias.shape={input_bias.shape} does not fit x.shape={x.shape}: it "
      f"must be {bias.shape}, a number a channel."
    )
  arrays = (x, kernel, bias, input_bias)
  if by_platform.is_plain(implementation, arrays):
    convolve = functools.partial(
      depthwise.depthwise_conv, implementation="xla", dilation=dilation
    )
    y = convolve(add_bias(x, input_bias), kernel, bias=bias)
    return gelu(y, implementation="xla")
  meaning = depthwise.meaning(implementation, x, kernel, dilation)
  ways = {
    platform: _way(
      name,
      dilation,
      loops.takes(x.dtype),
      platform == "cuda" and name not in _FUSED,
    )
    for platform, name in ({"cuda": meaning["default"]} | meaning).items()
  }
  return by_platform.compute(arrays, **ways)


@functools.cache
def _way(name: str, dilation: int, has_loops: bool, on_gpu: bool) -> Way:
  """Returns the way that goes with a depthwise convolution of that name."""
  fused = _FUSED.get(name)
  if fused and (has_loops or fused is not loops):
    return Way(
      functools.partial(fused.convolve_gelu, dilation=dilation),
      functools.partial(_forward_in_one_pass, fused, dilation=dilation),
      lambda kept, gradient: fused.gelu_gradients(kept, gradient, dilation),
    )
  convolve = functools.partial(depthwise.BY_NAME[name], dilation=dilation)
  return Way(
    lambda x, kernel, bias, input_bias: gelu(
      convolve(add_bias(x, input_bias), kernel, bias)
    ),
    functools.partial(_forward_on_gpu if on_gpu else _forward, convolve),
    functools.partial(_backward_on_gpu if on_gpu else _backward, convolve),
  )


# What is kept is the sum with the bias where that is in memory anyway, else x.
def _forward_in_one_pass(fused, x, kernel, bias, input_bias, *, dilation):
  y, slope = fused.convolve_gelu_and_slope(
    x, kernel, bias, input_bias, dilation
  )
  return y, (x, kernel, bias, input_bias, slope)


def _forward(convolve, x, kernel, bias, input_bias):
  x = add_bias(x, input_bias)
  y, slope = gelu_and_slope(convolve(x, kernel, bias))
  return y, (x, kernel, bias, input_bias, slope)


def _forward_on_gpu(convolve, x, kernel, bias, input_bias):
  x = add_bias(x, input_bias)
  y, slope = gelu_and_slope_on_gpu(convolve(x, kernel, bias))
  return y, (x, kernel, bias, input_bias, slope)


def _backward_on_gpu(convolve, kept, gradient):
  # XLA would make the float32 copy of x that the kernel's gradient takes with
  # x itself, and keep both from the forward pass on.
  x, *others = kept
  return _backward(convolve, (lax.optimization_barrier(x), *others), gradient)


def _backward(convolve, kept, gradient):
  x, kernel, bias, input_bias, slope = kept
  _, vjp = jax.vjp(convolve, x, kernel, bias)
  x_gradient, *others = vjp(gradient * slope)
  vjp_of_bias: Any = jax.vjp(lambda bias: add_bias(x, bias), input_bias)[1]
  return x_gradient, *others, *vjp_of_bias(x_gradient)
