"""Depthwise convolution by XLA's grouped convolution."""

import jax
from jax import lax

from van_jax.ops.shifted_sum import padding


def depthwise_conv(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
  """Returns the depthwise convolution of x, [B, H, W, C].

  Args:
    x: [B, H, W, C].
    kernel: [kh, kw, 1, C].
    dilation: distance between neighbouring taps.
  """
  height, width, _, channels = kernel.shape
  return lax.conv_general_dilated(
    x,
    kernel.astype(x.dtype),
    window_strides=(1, 1),
    padding=(padding(height, dilation), padding(width, dilation)),
    rhs_dilation=(dilation, dilation),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    feature_group_count=channels,
  )
