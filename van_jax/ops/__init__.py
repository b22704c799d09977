"""Operations with one door each and one implementation a platform.

Their gradients are of first order and in reverse mode: the loops and kernels
behind the doors bring their own, which have none in turn.
"""

from van_jax.ops.bias import add_bias
from van_jax.ops.depthwise import depthwise_conv, list_implementations
from van_jax.ops.depthwise_gelu import depthwise_conv_gelu
from van_jax.ops.gelu import gelu
from van_jax.ops.pointwise import pointwise_conv
from van_jax.ops.strided import strided_conv

__all__ = [
  "add_bias",
  "depthwise_conv",
  "depthwise_conv_gelu",
  "gelu",
  "list_implementations",
  "pointwise_conv",
  "strided_conv",
]
