"""What a stage is made of: a patch embedding, then blocks."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from van_jax.models import layers
from van_jax.models.attention import lka
from van_jax.models.batch_norm import BatchNorm
from van_jax.models.strided import StridedConv


class PatchEmbed(nn.Module):
  """A strided convolution and BatchNorm: fewer pixels, more channels.

  Attributes:
    features: channels out.
    kernel_size: of the convolution, odd.
    stride: of the convolution.
    batch_norm_group_size: examples that share statistics.
    batch_norm_frozen: never use the batch's statistics.
    folded: BatchNorm is in the convolution already; see `folding.py`.
    implementation: as in `VAN`.
    dtype: of the computation.
  """

  features: int
  kernel_size: int
  stride: int
  batch_norm_group_size: int | None = None
  batch_norm_frozen: bool = False
  folded: bool = False
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
    if self.folded:
      return x
    return BatchNorm(
      self.batch_norm_group_size,
      self.batch_norm_frozen,
      dtype=self.dtype,
      name="norm",
    )(x, train=train)


class Block(nn.Module):
  """Attention, then feed-forward, each normalised, scaled and added.

  Attributes:
    ffn_ratio: hidden channels of the feed-forward layer over channels.
    drop_path_rate: probability that an example skips a half of this block.
    Others: as in `VAN`.
  """

  ffn_ratio: int | float
  drop_path_rate: float
  dropout_rate: float
  layer_scale_init: float | None
  kernel_size: int
  dilation: int
  gate: str
  lka_convs: tuple[str, ...]
  batch_norm_group_size: int | None
  batch_norm_frozen: bool
  folded: bool
  conv_implementation: str
  dtype: DTypeLike

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, C]."""
    attention = lka.Attention(
      kernel_size=self.kernel_size,
      dilation=self.dilation,
      gate=self.gate,
      convs=self.lka_convs,
      shortcut=not self.folded,
      conv_implementation=self.conv_implementation,
      dtype=self.dtype,
      name="attn",
    )
    feed_forward = layers.FeedForward(
      self.ffn_ratio,
      self.dropout_rate,
      implementation=self.conv_implementation,
      dtype=self.dtype,
      name="mlp",
    )
    if self.folded:
      scale = self.param("shortcut_scale", nn.initializers.ones, x.shape[-1:])
      x = x * scale.astype(x.dtype)[None, None, None] + attention(x)
      return x + feed_forward(x, train=False)
    drop_path = layers.DropPath(self.drop_path_rate)
    y = attention(self._norm("norm1")(x, train=train))
    x = x + drop_path(self._scaled("layer_scale_1", y), train=train)
    y = feed_forward(self._norm("norm2")(x, train=train), train=train)
    return x + drop_path(self._scaled("layer_scale_2", y), train=train)

  @nn.nowrap
  def _norm(self, name: str) -> BatchNorm:
    return BatchNorm(
      self.batch_norm_group_size,
      self.batch_norm_frozen,
      dtype=self.dtype,
      name=name,
    )

  @nn.nowrap
  def _scaled(self, name: str, x: jax.Array) -> jax.Array:
    if self.layer_scale_init is None:
      return x
    init = nn.initializers.constant(self.layer_scale_init)
    scale = self.param(name, init, x.shape[-1:], jnp.float32)
    # In float32, as its gradient is a sum over all positions.
    return (x * scale[None, None, None]).astype(x.dtype)
