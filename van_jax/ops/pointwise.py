"""1x1 convolution: a matrix product, or on TPUs a convolution.

XLA's gradient of a 1x1 convolution on the CPU takes 4 times as long as that
of the matrix product; that of the kernel is up to 3 times as fast again with
the narrower map on the left and, where it is long, in parts. On TPUs the
matrix product's rows want another layout than the maps around it have, and
whole maps are copied to and fro: with those copies the rest of VAN-B0's
attention, without its depthwise convolutions, takes 2.1 times the cycles, by
the compiler's estimate for v5e.
"""

import jax
import jax.numpy as jnp
from jax import lax

from van_jax import errors
from van_jax.ops import by_platform, strided
from van_jax.ops.by_platform import Way

_PARTS = 4  # Of a long product on a CPU.
_LONG = 128  # Times more positions than channels.


def pointwise_conv(
  x: jax.Array, kernel: jax.Array, *, implementation: str = "auto"
) -> jax.Array:
  """Returns x times kernel at each position, [B, H, W, F].

  Args:
    x: [B, H, W, C], floating.
    kernel: [C, F], of x's dtype.
    implementation: "xla" for the matrix product and JAX's derivatives of it;
      all others are "auto".

  Raises:
    UserError: on shapes, dtypes or a name that make no such product.
  """
  if x.ndim != 4 or kernel.ndim != 2 or kernel.shape[0] != x.shape[-1]:
    raise errors.UserError(
      f"pointwise_conv takes x of [B, H, W, C] and a kernel of [C, F], got "
      f"{x.shape} and {kernel.shape}; the two C must be the same."
    )
  strided.check_dtypes(x, kernel)
  if by_platform.is_plain(implementation, (x, kernel)):
    return _multiply(x, kernel)
  return by_platform.compute((x, kernel), _PRODUCT, cpu=_ON_CPU, tpu=_ON_TPU)


def _multiply(x, kernel):
  y = x.reshape(-1, x.shape[-1]) @ kernel
  return y.reshape(*x.shape[:-1], kernel.shape[-1])


def _backward_on_cpu(arrays, gradient):
  x, kernel = arrays
  x_gradient = _multiply(gradient, kernel.T)
  if kernel.shape[0] <= kernel.shape[1]:
    return x_gradient, _product_over_positions(x, gradient)
  return x_gradient, _product_over_positions(gradient, x).T


def _product_over_positions(narrow, wide):
  """Returns the sum of outer products, [channels of narrow, of wide]."""
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


_PRODUCT = Way(_multiply)
_ON_CPU = Way(_multiply, backward=_backward_on_cpu)
_ON_TPU = Way(_convolve)
