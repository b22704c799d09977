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
from van_jax.ops import by_platform, kernel_sums
from van_jax.ops.by_platform import Way

_PARTS = 4  # Of a long product on a CPU.
_LONG = 128  # Times more positions than channels.


def pointwise_conv(
  x: jax.Array, kernel: jax.Array, *, implementation: str = "auto"
) -> jax.Array:
  """Returns x times kernel at each position, [B, H, W, F].

  Args:
    x: [B, H, W, C], floating.
    kernel: [C, F], of x's dtype or a wider one; its gradient is of its own.
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
  kernel_sums.check_dtypes(x, kernel)
  if by_platform.is_plain(implementation, (x, kernel)):
    return _PLAIN(x, kernel)
  return by_platform.compute((x, kernel), _PRODUCT, cpu=_ON_CPU, tpu=_ON_TPU)


def _multiply(x, kernel):
  y = x.reshape(-1, x.shape[-1]) @ kernel
  return y.reshape(*x.shape[:-1], kernel.shape[-1])


def _multiply_cast(x, kernel):
  return _multiply(x, kernel.astype(x.dtype))


def _backward(arrays, gradient):
  x, kernel = arrays
  wider = jnp.promote_types(x.dtype, jnp.float32)
  total = jnp.einsum("bhwc,bhwf->cf", x, gradient, preferred_element_type=wider)
  return _multiply_cast(gradient, kernel.T), total.astype(kernel.dtype)


def _backward_on_cpu(arrays, gradient):
  x, kernel = arrays
  x_gradient = _multiply_cast(gradient, kernel.T)
  if kernel.shape[0] <= kernel.shape[1]:
    total = _product_over_positions(x, gradient)
  else:
    total = _product_over_positions(gradient, x).T
  return x_gradient, total.astype(kernel.dtype)


def _product_over_positions(narrow, wide):
  """Returns the sum of outer products, [channels of narrow, of wide].

  It is in float32 or wider.
  """
  a, b = (m.reshape(-1, m.shape[-1]) for m in (narrow, wide))
  wider = jnp.promote_types(a.dtype, jnp.float32)
  if a.shape[0] < _LONG * a.shape[1] or a.shape[0] % _PARTS:
    return jnp.einsum("nc,nf->cf", a, b, preferred_element_type=wider)
  a, b = (m.reshape(_PARTS, -1, m.shape[-1]) for m in (a, b))
  products = jnp.einsum("pnc,pnf->pcf", a, b, preferred_element_type=wider)
  return jnp.sum(products, 0)


def _convolve(x, kernel):
  return lax.conv_general_dilated(
    x,
    kernel[None, None],
    window_strides=(1, 1),
    padding="VALID",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


_PLAIN = kernel_sums.in_kernels_dtype(_multiply)
_PRODUCT = Way(_multiply_cast, backward=_backward)
_ON_CPU = Way(_multiply_cast, backward=_backward_on_cpu)
_ON_TPU = Way(kernel_sums.in_kernels_dtype(_convolve))
