"""The door to convolutions that shrink a map: XLA's, or on CPUs our loops.

XLA's take 1.1 to 6 times as long forward on the CPU, for VAN-B0's and B1's
patch embeddings at 224 pixels, 8 examples and two threads; their gradients are
its. Of dense heads' convolutions, of stride 1, those are ours: XLA's take 1.3
to 2 times as long for the map and, where it is large, 2 to 5 for the kernel.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from van_jax import errors
from van_jax.ops import by_platform, kernel_sums
from van_jax.ops.by_platform import Way
from van_jax.ops.cpu.strided import call as loops
from van_jax.ops.cpu.strided.kernel_gradient import kernel_gradient

# Positions from which XLA:CPU's gradient for a kernel is slow: 3x3 on 40 x 40
# it computes in 0.6 to 1 times ours, on 48 x 48 in 1.2 to 2.2, on 128 x 128 in
# 2 to 5.
_LARGE = 2048


def strided_conv(
  x: jax.Array,
  kernel: jax.Array,
  *,
  stride: int = 1,
  padding: int = 0,
  implementation: str = "auto",
) -> jax.Array:
  """Returns the convolution, [B, H', W', D]; H' = (H + 2p - kh) // stride + 1.

  Products add up in float32 or wider.

  Args:
    x: [B, H, W, C], floating.
    kernel: [kh, kw, C, D], of x's dtype or a wider one; its gradient is of
      its own.
    stride: of both axes, >= 1.
    padding: p, zeros before and behind both axes.
    implementation: "xla" for XLA's convolution on all platforms and JAX's
      derivatives of it; all others are "auto".

  Raises:
    UserError: on shapes, stride, padding or a name that make no such
      convolution.
  """
  _check(x, kernel, stride, padding)
  by_xla = kernel_sums.in_kernels_dtype(
    functools.partial(_by_xla, stride=stride, padding=padding)
  )
  if by_platform.is_plain(implementation, (x, kernel)):
    return by_xla(x, kernel)
  if not _on_cpu(x, kernel):
    return by_platform.compute((x, kernel), Way(by_xla))
  ours = functools.partial(loops.conv, stride=stride, padding=padding)

  # The gradient which nobody asks for, of images say, is never computed.
  def backward(arrays, gradient):
    return jax.vjp(by_xla, *arrays)[1](gradient)

  on_cpu = functools.partial(
    _backward_on_cpu, by_xla=by_xla, stride=stride, padding=padding
  )
  return by_platform.compute(
    (x, kernel),
    Way(by_xla, None, backward),
    cpu=Way(ours, None, on_cpu),
  )


def _backward_on_cpu(arrays, gradient, *, by_xla, stride, padding):
  x, kernel = arrays
  if _turns(kernel, stride, padding):
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    padding_of_turned = kernel.shape[0] - 1 - padding
    x_gradient = loops.conv(
      gradient, turned, stride=1, padding=padding_of_turned
    )
  else:
    (x_gradient,) = jax.vjp(lambda x: by_xla(x, kernel), x)[1](gradient)
  if stride > 1 or gradient.shape[1] * gradient.shape[2] < _LARGE:
    (sums,) = jax.vjp(lambda kernel: by_xla(x, kernel), kernel)[1](gradient)
    return x_gradient, sums
  sums = kernel_gradient(x, gradient, size=kernel.shape[:2], padding=padding)
  return x_gradient, sums.astype(kernel.dtype)


def _turns(kernel, stride, padding):
  """Returns whether our loops compute x's gradient: of a turned kernel."""
  kh, kw, C, _ = kernel.shape
  return stride == 1 and kh == kw > padding and loops.takes(C)


def _on_cpu(x, kernel):
  """Returns whether our loops compute this here and now, on a CPU."""
  narrow = (jnp.float32, jnp.bfloat16)
  if x.dtype not in narrow or kernel.dtype not in narrow or 0 in x.shape:
    return False
  # Hosts of TPUs or GPUs need not wait for Numba: they seldom use their CPU.
  if by_platform.platform() != "cpu" or not loops.is_available():
    return False
  return loops.takes(kernel.shape[3])


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
    raise errors.UserError(
      f"strided_conv takes x of [B, H, W, C] and a kernel of [kh, kw, C, D], "
      f"got {x.shape} and {kernel.shape}; the two C must be the same."
    )
  kernel_sums.check_dtypes(x, kernel)
  if stride < 1 or padding < 0:
    raise errors.UserError(
      f"stride={stride} must be at least 1, and padding={padding} at least 0."
    )
  for size, taps in zip(x.shape[1:3], kernel.shape[:2], strict=True):
    if size + 2 * padding < taps:
      raise errors.UserError(
        f"kernel.shape={kernel.shape} is larger than x.shape={x.shape} with "
        f"padding={padding}; add more padding, or enlarge the map."
      )
