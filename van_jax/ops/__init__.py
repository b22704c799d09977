"""Operations with one door each and one implementation a platform.

All take implementation="xla" for JAX's own operations, which have derivatives
of any order and mode and export for any batch. "auto" stands for loops and
kernels of ours where they are faster: they have first-order gradients in
reverse mode.
"""

from van_jax.ops.by_platform import compile_for
from van_jax.ops.depthwise import depthwise_conv, list_implementations
from van_jax.ops.depthwise_gelu import depthwise_conv_gelu
from van_jax.ops.gelu import add_bias, gelu
from van_jax.ops.pointwise import pointwise_conv
from van_jax.ops.strided import strided_conv
from van_jax.ops.trust import verify_kernels

__all__ = [
  "add_bias",
  "compile_for",
  "depthwise_conv",
  "depthwise_conv_gelu",
  "gelu",
  "list_implementations",
  "pointwise_conv",
  "strided_conv",
  "verify_kernels",
]
