"""1x1 convolution: a matrix product, or on TPUs a convolution.

XLA's gradient of a 1x1 convolution on the CPU takes 4 times as long as that
of the matrix product; that of the kernel is up to 3 times as fast again with
the narrower map on the left and, where it is long, in parts. With many
channels on both sides, and examples that a core's cache holds, the loops of
`strided.py` are faster still. On TPUs the matrix product's rows want another
layout than the maps around it have, and whole maps are copied to and fro: with
those copies the rest of VAN-B0's attention, without its depthwise convolutions,
takes 2.1 times the cycles, by the compiler's estimate for v5e.
"""

import math
import os

import jax
import jax.numpy as jnp
from jax import lax

from van_jax.ops import strided
from van_jax.ops.cpu.strided import call as strided_numba

_FEWEST, _MOST = 128, 2048  # Channels for the loops of strided_numba;
_LARGEST = 2**18  # numbers of an example, which a core's cache holds.
_PARTS = 4  # Of a long product on a CPU.
_LONG = 128  # Times more positions than channels.


def pointwise_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Returns x times kernel at each position, [B, H, W, F].

  Args:
    x: [B, H, W, C], floating.
    kernel: [C, F], of x's dtype.

  Raises:
    ValueError: on shapes or dtypes that make no such product.
  """
  if x.ndim != 4 or kernel.ndim != 2 or kernel.shape[0] != x.shape[-1]:
    raise ValueError(
      f"pointwise_conv takes x of [B, H, W, C] and a kernel of [C, F], got "
      f"{x.shape} and {kernel.shape}; the two C must be the same."
    )
  strided.check_dtypes(x, kernel)
  return _pointwise_conv(x, kernel)


# As in ops/depthwise.py, each direction chooses by itself when it is lowered.
@jax.custom_vjp
def _pointwise_conv(x, kernel):
  return lax.platform_dependent(
    x, kernel, cpu=_multiply_on_cpu, tpu=_convolve, default=_multiply
  )


def _forward(x, kernel):
  return _pointwise_conv(x, kernel), (x, kernel)


def _backward(residuals, gradient):
  def backward(run):
    return lambda x, kernel, gradient: jax.vjp(run, x, kernel)[1](gradient)

  return lax.platform_dependent(
    *residuals,
    gradient,
    cpu=_backward_on_cpu,
    tpu=backward(_convolve),
    default=backward(_multiply),
  )


_pointwise_conv.defvjp(_forward, _backward)


def _multiply(x, kernel):
  y = x.reshape(-1, x.shape[-1]) @ kernel
  return y.reshape(*x.shape[:-1], kernel.shape[-1])


def _multiply_on_cpu(x, kernel):
  if _is_for_loops(x, *kernel.shape):
    return strided_numba.conv(x, kernel[None, None], stride=1, padding=0)
  return _multiply(x, kernel)


def _is_for_loops(x, channels, features):
  """Returns whether the loops of strided_numba are faster, here and now."""
  most, least = max(channels, features), min(channels, features)
  if x.dtype != jnp.float32 or least < _FEWEST or most >= _MOST:
    return False
  if math.prod(x.shape[1:]) > _LARGEST:
    return False
  return strided.on_cpu(x, features)


def _backward_on_cpu(x, kernel, gradient):
  x_gradient = _multiply_on_cpu(gradient, kernel.T)
  if kernel.shape[0] <= kernel.shape[1]:
    return x_gradient, _product_over_positions(x, gradient)
  return x_gradient, _product_over_positions(gradient, x).T


def _product_over_positions(narrow, wide):
  """Returns the sum of outer products, [channels of narrow, of wide]."""
  shape = (1, 1, narrow.shape[-1], wide.shape[-1])
  # Items of 32 channels for all threads, as figures are of two.
  enough = shape[3] // 32 >= (os.cpu_count() or 1)
  if enough and 2 * shape[2] >= shape[3] and _is_for_loops(wide, *shape[2:]):
    return strided_numba.kernel_gradient(narrow, wide, shape, 1, 0)[0, 0]
  a, b = (m.reshape(-1, m.shape[-1]) for m in (narrow, wide))
  wider = jnp.promote_types(a.dtype, jnp.float32)
  if a.shape[0] < _LONG * a.shape[1] or a.shape[0] % _PARTS:
    total = jnp.einsum("nc,nf->cf", a, b, preferred_element_type=wider)
    return total.astype(a.dtype)
  a, b = (m.reshape(_PARTS, -1, m.shape[-1]) for m in (a, b))
  products = jnp.einsum("pnc,pnf->pcf", a, b, preferred_element_type=wider)
  return jnp.sum(products, 0).astype(a.dtype)


def _convolve(x, kernel):
  return lax.conv_general_dilated(
    x,
    kernel[None, None],
    window_strides=(1, 1),
    padding="VALID",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )
