"""An attention that van_jax knows nothing of: all that one has to write."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class ChannelMixing(nn.Module):
  """Mixes channels by how alike their maps are."""

  kernel_size: int = 3
  sharpness: float = 1.0
  depthwise: Any = None
  dtype: Any = None

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, C]."""
    view = self.depthwise(self.kernel_size, name="near")(x)
    view = nn.BatchNorm(not train, dtype=self.dtype, name="norm")(view)
    alike = jnp.einsum("bhwc,bhwd->bcd", x, view) / (x.shape[1] * x.shape[2])
    return jnp.einsum(
      "bcd,bhwd->bhwc", nn.softmax(alike * self.sharpness), view
    )
