"""The block that stages repeat: an attention half and a feed-forward half."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from van_jax import errors, ops
from van_jax.models import chosen, layers
from van_jax.models.attention import table
from van_jax.models.batch_norm import BatchNorm


class Block(nn.Module):
  """Attention, then feed-forward, each normalised, scaled and added.

  Attributes:
    ffn_ratio: hidden channels of the feed-forward layer over channels.
    drop_path_rate: probability that an example skips a half of this block.
    attention: as in `VAN`.
    dropout_rate: inside the feed-forward.
    layer_scale_init: initial scale of each half; None for no scales.
    norm: makes a BatchNorm; None where norms and scales are folded into the
      kernels beside them, see `folding.py`.
    implementation: as in `VAN`.
    dtype: of the computation.
  """

  ffn_ratio: int | float
  drop_path_rate: float = 0.0
  attention: Any = "lka"
  dropout_rate: float = 0.0
  layer_scale_init: float | None = 1e-2
  norm: Callable[..., BatchNorm] | None = BatchNorm
  implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, C]."""
    run = {"implementation": self.implementation, "dtype": self.dtype}
    norm = self.norm
    attention = Attention(
      self.attention, shortcut=norm is not None, **run, name="attn"
    )
    feed_forward = layers.FeedForward(
      self.ffn_ratio, self.dropout_rate, **run, name="mlp"
    )
    if norm is None:
      scale = self.param("shortcut_scale", nn.initializers.ones, x.shape[-1:])
      scaled = x * scale.astype(x.dtype)[None, None, None]
      x = scaled + attention(x, train=False)
      return x + feed_forward(x, train=False)
    drop_path = layers.DropPath(self.drop_path_rate)
    y = attention(norm(name="norm1")(x, train=train), train=train)
    x = x + drop_path(self._scaled("layer_scale_1", y), train=train)
    y = feed_forward(norm(name="norm2")(x, train=train), train=train)
    return x + drop_path(self._scaled("layer_scale_2", y), train=train)

  @nn.nowrap
  def _scaled(self, name: str, x: jax.Array) -> jax.Array:
    if self.layer_scale_init is None:
      return x
    init = nn.initializers.constant(self.layer_scale_init)
    scale = self.param(name, init, x.shape[-1:], jnp.float32)
    # In float32, as its gradient is a sum over all positions.
    return (x * scale[None, None, None]).astype(x.dtype)


class Attention(nn.Module):
  """1x1 convolution, GELU, the attention proper, 1x1 convolution, plus x.

  Attributes:
    attention: as in `VAN`.
    shortcut: whether x is added; a folded block adds it elsewhere.
    implementation: as in `VAN`.
    dtype: of the computation.
  """

  attention: Any = "lka"
  shortcut: bool = True
  implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, C]."""
    channels = x.shape[-1]
    run = {"implementation": self.implementation, "dtype": self.dtype}
    pointwise = functools.partial(layers.Pointwise, **run)
    unit: Any = table.make(
      self.attention,
      name="spatial_gating_unit",
      depthwise=functools.partial(layers.Depthwise, **run),
      pointwise=pointwise,
      **run,
    )
    told = {"train": train} if chosen.takes_train(unit) else {}
    h = ops.gelu(
      pointwise(channels, name="proj_1")(x), implementation=self.implementation
    )
    y = unit(h, **told)
    if y.shape != h.shape:  # Or broadcasting would hide it.
      raise errors.UserError(
        f"attention {table.label(type(unit))} gave {y.shape} for {h.shape}; it "
        "must return the shape that it gets."
      )
    h = pointwise(channels, name="proj_2")(y)
    return h + x if self.shortcut else h
