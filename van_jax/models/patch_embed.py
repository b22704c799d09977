"""What a stage starts with: fewer pixels, more channels."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from van_jax.models.batch_norm import BatchNorm
from van_jax.models.strided import StridedConv


class PatchEmbed(nn.Module):
  """A strided convolution and BatchNorm.

  Attributes:
    features: channels out.
    kernel_size: of the convolution, odd.
    stride: of the convolution.
    norm: makes a BatchNorm; None where it is folded, see `folding.py`.
    implementation: as in `VAN`.
    dtype: of the computation.
  """

  features: int
  kernel_size: int
  stride: int
  norm: Callable[..., BatchNorm] | None = BatchNorm
  implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [B, H, W, C] to [B, ceil(H / stride), ceil(W / stride), D]."""
    x = StridedConv(
      self.features,
      self.kernel_size,
      self.stride,
      implementation=self.implementation,
      dtype=self.dtype,
      name="proj",
    )(x)
    return x if self.norm is None else self.norm(name="norm")(x, train=train)
