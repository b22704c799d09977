"""The door to convolutions that shrink a map: XLA's, or on CPUs our loops.

XLA's take 1.1 to 6 times as long on the CPU, for VAN-B0's and B1's patch
embeddings at 224 pixels, 8 examples and two threads (benchmarks/products.py).
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from van_jax.ops.cpu.strided import call as strided_numba


def strided_conv(
  x: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: int = 0
) -> jax.Array:
  """Returns the convolution, [B, H', W', D]; H' = (H + 2p - kh) // stride + 1.

  Products add up in float32 or wider.

  Args:
    x: [B, H, W, C], floating.
    kernel: [kh, kw, C, D], of x's dtype.
    stride: of both axes, >= 1.
    padding: p, zeros before and behind both axes.

  Raises:
    ValueError: on shapes, stride or padding that make no such convolution.
  """
  _check(x, kernel, stride, padding)
  return _conv(x, kernel, stride, padding)


# As in ops/depthwise.py, each direction chooses by itself when it is lowered;
# one choice a gradient, so that the one nobody asks for is never computed.
@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv(x, kernel, stride, padding):
  by_xla = functools.partial(_by_xla, stride=stride, padding=padding)
  if not on_cpu(x, kernel.shape[3]):
    return by_xla(x, kernel)
  ours = functools.partial(strided_numba.conv, stride=stride, padding=padding)
  return lax.platform_dependent(x, kernel, cpu=ours, default=by_xla)


def _forward(x, kernel, stride, padding):
  return _conv(x, kernel, stride, padding), (x, kernel)


def _backward(stride, padding, residuals, gradient):
  x, kernel = residuals
  by_xla = functools.partial(_by_xla, stride=stride, padding=padding)

  def to_input(x, kernel, gradient):
    return jax.vjp(lambda x: by_xla(x, kernel), x)[1](gradient)[0]

  def to_kernel(x, kernel, gradient):
    return jax.vjp(lambda kernel: by_xla(x, kernel), kernel)[1](gradient)[0]

  def our_input(x, kernel, gradient):
    return strided_numba.input_gradient(
      x.shape, kernel, gradient, stride, padding
    )

  def our_kernel(x, kernel, gradient):
    sums = strided_numba.kernel_gradient(
      x, gradient, kernel.shape, stride, padding
    )
    return sums.astype(kernel.dtype)

  arrays = (x, kernel, gradient)
  return (
    _either(on_cpu(x, x.shape[3]), our_input, to_input, arrays),
    _either(on_cpu(x, kernel.shape[3]), our_kernel, to_kernel, arrays),
  )


_conv.defvjp(_forward, _backward)


def _either(fits, ours, by_xla, arrays):
  """Returns our gradient on CPUs, if our loops fit it, and XLA's elsewhere."""
  if not fits:
    return by_xla(*arrays)
  return lax.platform_dependent(*arrays, cpu=ours, default=by_xla)


def on_cpu(x: jax.Array, channels: int) -> bool:
  """Returns whether our loops write so many channels, here and now."""
  if x.dtype not in (jnp.float32, jnp.bfloat16) or 0 in x.shape:
    return False
  # Hosts of TPUs or GPUs need not wait for Numba: they seldom use their CPU.
  if jax.default_backend() != "cpu" or not strided_numba.is_available():
    return False
  return strided_numba.takes(channels)


def _by_xla(x, kernel, stride, padding):
  return lax.conv_general_dilated(
    x,
    kernel,
    window_strides=(stride, stride),
    padding=((padding, padding), (padding, padding)),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


def _check(x, kernel, stride, padding):
  if x.ndim != 4 or kernel.ndim != 4 or kernel.shape[2] != x.shape[-1]:
    raise ValueError(
      f"strided_conv takes x of [B, H, W, C] and a kernel of [kh, kw, C, D], "
      f"got {x.shape} and {kernel.shape}; the two C must be the same."
    )
  check_dtypes(x, kernel)
  if stride < 1 or padding < 0:
    raise ValueError(
      f"stride={stride} must be at least 1, and padding={padding} at least 0."
    )
  for size, taps in zip(x.shape[1:3], kernel.shape[:2], strict=True):
    if size + 2 * padding < taps:
      raise ValueError(
        f"kernel.shape={kernel.shape} is larger than x.shape={x.shape} with "
        f"padding={padding}; add more padding, or enlarge the map."
      )


def check_dtypes(x: jax.Array, kernel: jax.Array) -> None:
  """Raises ValueError unless both have the same floating dtype."""
  if x.dtype != kernel.dtype or not jnp.issubdtype(x.dtype, jnp.floating):
    raise ValueError(
      f"x.dtype={x.dtype} and kernel.dtype={kernel.dtype} must be the same "
      f"floating one; cast one of them."
    )
