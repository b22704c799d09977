"""Depthwise convolution by Pallas kernels for NVIDIA's GPUs.

XLA gives a depthwise convolution of [B, H, W, C] to cuDNN, whose dilated ones
are said to be many times slower than they need be. These kernels read a row
once for each of its neighbours in registers, and add up in float32: they are
not proven on a GPU yet, as `proven` says. Elsewhere they run in Pallas's
interpreter, slowly: for tests.

They go through Triton. What else was weighed: Mosaic GPU, whose strength are
asynchronous copies to shared memory and the matrix units of Hopper, and which
has no kernels for older cards; one kernel in CUDA C++, which pip cannot build
where no compiler is; the matrix units, a band matrix a channel, which wants
channels first and is mostly zeros.
"""

import functools

import jax
import jax.numpy as jnp

from van_jax.ops.gpu import operations


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def depthwise_conv(
  x: jax.Array, kernel: jax.Array, bias: jax.Array | None, dilation: int
) -> jax.Array:
  """Returns the depthwise convolution of x, [B, H, W, C].

  Accumulates in float32; wider maps are XLA's, and kernels of more than 11 x 11
  taps or 39 in a row. In a program of several devices each takes an equal share
  of the batch.

  Args:
    x: [B, H, W, C].
    kernel: [kh, kw, 1, C].
    bias: [C], or None.
    dilation: distance between neighbouring taps.
  """
  if bias is None:
    bias = jnp.zeros(x.shape[-1:], x.dtype)
  (y,) = operations.convolve(x, kernel, bias, **_how(kernel, dilation))
  return y


def _forward(x, kernel, bias, dilation):
  return depthwise_conv(x, kernel, bias, dilation), (x, kernel, bias)


def _backward(dilation, residuals, gradient):
  x, kernel, bias = residuals
  how = _how(kernel, dilation)
  (x_gradient,) = operations.input_gradient(gradient, kernel, **how)
  (sums,) = operations.parameter_gradients(x, gradient, **how)
  return x_gradient, *_parameters(sums, kernel, bias)


depthwise_conv.defvjp(_forward, _backward)


def convolve_gelu(x, kernel, bias, input_bias, dilation):
  """Returns GELU(depthwise_conv(x + input_bias, ...)); no gradient."""
  (y,) = operations.convolve_gelu(
    x, kernel, bias, input_bias, **_how(kernel, dilation)
  )
  return y


def convolve_gelu_and_slope(x, kernel, bias, input_bias, dilation):
  """Returns what `convolve_gelu` does, and the GELU's derivative there."""
  return operations.convolve_gelu_and_slope(
    x, kernel, bias, input_bias, **_how(kernel, dilation)
  )


def gelu_gradients(kept, gradient, dilation):
  """Returns gradients for x, kernel and both biases from the GELU's.

  Args:
    kept: those four, and the GELU's derivative.
    gradient: for the GELU.
    dilation: distance between neighbouring taps.
  """
  x, kernel, bias, input_bias, slope = kept
  how = _how(kernel, dilation)
  x_gradient, total = operations.gelu_input_gradient(
    gradient, slope, kernel, **how
  )
  (sums,) = operations.gelu_parameter_gradients(
    x, gradient, slope, input_bias, **how
  )
  of_input_bias = total.astype(input_bias.dtype)
  return x_gradient, *_parameters(sums, kernel, bias), of_input_bias


def _how(kernel, dilation):
  return {"dilation": dilation, "size": kernel.shape[:2]}


def _parameters(sums, kernel, bias):
  """Returns the kernel's and the bias's gradient."""
  return (
    sums[:-1].reshape(kernel.shape).astype(kernel.dtype),
    None if bias is None else sums[-1].astype(bias.dtype),
  )
