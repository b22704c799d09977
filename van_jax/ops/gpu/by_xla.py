"""What the GPU kernels compute, by XLA's operations.

For numbers and kernels that they do not take, and batches that devices cannot
share equally. Results are lists, as the kernels' are.
"""

import jax
import jax.numpy as jnp

from van_jax.ops import gelu, grouped


def wide(array: jax.Array) -> jax.Array:
  """Returns the array in float32, or as it is if that is wider."""
  return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def convolve(x, kernel, bias, *, dilation, size):
  """Returns the convolution of x plus a bias."""
  del size  # The kernel's.
  return [gelu.add_bias(grouped.depthwise_conv(x, kernel, dilation), bias)]


def convolve_gelu_and_slope(x, kernel, bias, input_bias, *, dilation, size):
  """Returns the GELU of the convolution of x + input_bias, and its slope."""
  x = gelu.add_bias(x, input_bias)
  (y,) = convolve(x, kernel, bias, dilation=dilation, size=size)
  return list(gelu.gelu_and_slope(y))


def convolve_gelu(x, kernel, bias, input_bias, *, dilation, size):
  """Returns the first of them."""
  return convolve_gelu_and_slope(
    x, kernel, bias, input_bias, dilation=dilation, size=size
  )[:1]


def input_gradient(gradient, kernel, *, dilation, size):
  """Returns the gradient for x."""
  del size
  return list(
    jax.linear_transpose(
      lambda x: grouped.depthwise_conv(x, kernel, dilation), gradient
    )(gradient)
  )


def gelu_input_gradient(gradient, slope, kernel, *, dilation, size):
  """Returns it from the GELU's, and its sums over positions, [C]."""
  (result,) = input_gradient(
    gradient * slope, kernel, dilation=dilation, size=size
  )
  return [result, jnp.sum(wide(result), (0, 1, 2))]


def parameter_gradients(x, gradient, *, dilation, size):
  """Returns kernel's and bias's gradient, [kh * kw + 1, C]."""
  x, gradient = wide(x), wide(gradient)
  C = x.shape[-1]
  kernel = jax.ShapeDtypeStruct((*size, 1, C), x.dtype)
  (result,) = jax.linear_transpose(
    lambda kernel: grouped.depthwise_conv(x, kernel, dilation), kernel
  )(gradient)
  total = jnp.sum(gradient, (0, 1, 2))
  return [jnp.concatenate([result.reshape(-1, C), total[None]])]


def gelu_parameter_gradients(x, gradient, slope, input_bias, *, dilation, size):
  """Returns them from the GELU's."""
  return parameter_gradients(
    gelu.add_bias(x, input_bias), gradient * slope, dilation=dilation, size=size
  )
