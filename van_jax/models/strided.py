"""The convolution of a patch embedding."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from van_jax import ops
from van_jax.models import layers


class StridedConv(nn.Module):
  """A k x k convolution with a stride and bias, zeros k // 2 deep around.

  Attributes:
    features: channels out.
    kernel_size: k.
    stride: of both axes.
    implementation: one of `ops.list_implementations()`.
    dtype: of the computation; products add up in float32 or wider.
  """

  features: int
  kernel_size: int
  stride: int
  implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, C] to [B, H', W', features]."""
    size = self.kernel_size
    shape = (size, size, x.shape[-1], self.features)
    kernel = self.param("kernel", layers.conv_init(), shape, jnp.float32)
    bias = self.param(
      "bias", nn.initializers.zeros, (self.features,), jnp.float32
    )
    y = ops.strided_conv(
      x.astype(self.dtype),
      layers.at_least(self.dtype, kernel),
      stride=self.stride,
      padding=size // 2,  # "SAME" would shift even-sized maps.
      implementation=self.implementation,
    )
    return ops.add_bias(y, bias)
