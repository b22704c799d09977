"""VAN of Flax's own layers and nothing of ours: the peer of TPU schedules."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


class Scale(nn.Module):
  """Multiplies each channel by a weight of its own."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, C]."""
    init = nn.initializers.constant(1e-2)
    return x * self.param("scale", init, x.shape[-1:]).astype(x.dtype)


class PlainVAN(nn.Module):
  """VAN as one would write it first.

  Attributes:
    widths, depths, ffn_ratios, dtype: as of `van_jax.VAN`.
  """

  widths: tuple[int, ...]
  depths: tuple[int, ...]
  ffn_ratios: tuple[int | float, ...]
  dtype: DTypeLike

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [B, H, W, 3] to [B, 1000]."""
    for stage, depth in enumerate(self.depths):
      size, stride = (3, 2) if stage else (7, 4)
      x = self._conv(x, self.widths[stage], size, strides=stride)
      x = self._norm(x, train)
      for _ in range(depth):
        x = x + Scale()(self._attend(self._norm(x, train)))
        hidden = int(self.ffn_ratios[stage] * self.widths[stage])
        x = x + Scale()(self._feed(self._norm(x, train), hidden))
      x = nn.LayerNorm(1e-6, dtype=self.dtype)(x)
    return nn.Dense(1000)(jnp.mean(x, (1, 2), dtype=jnp.float32))

  def _attend(self, x):
    channels = x.shape[-1]
    h = nn.gelu(self._conv(x, channels, 1), approximate=False)
    view = self._conv(h, channels, 5, feature_group_count=channels)
    view = self._conv(
      view, channels, 7, feature_group_count=channels, kernel_dilation=3
    )
    h = h * self._conv(view, channels, 1)
    return self._conv(h, channels, 1) + x

  def _feed(self, x, hidden):
    h = self._conv(x, hidden, 1)
    h = self._conv(h, hidden, 3, feature_group_count=hidden)
    return self._conv(nn.gelu(h, approximate=False), x.shape[-1], 1)

  def _norm(self, x, train):
    return nn.BatchNorm(not train, momentum=0.9, dtype=self.dtype)(x)

  def _conv(self, x, features, size, *, kernel_dilation=1, **options):
    return nn.Conv(
      features,
      (size, size),
      padding=size // 2 * kernel_dilation,
      kernel_dilation=kernel_dilation,
      dtype=self.dtype,
      **options,
    )(x)
