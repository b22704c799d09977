"""Semantic FPN: a feature pyramid whose levels are added up at stride 4."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from van_jax import errors
from van_jax.models.batch_norm import BatchNorm
from van_jax.models.heads import checks, convolution, resize
from van_jax.models.heads.convolution import ConvModule


class FeaturePyramid(nn.Module):
  """Brings maps to one depth and adds to each what lies above it.

  1x1 and 3x3 convolutions with bias and no norm, from Xavier's uniform
  distribution: mmsegmentation's `necks/fpn.py`, arXiv:1612.03144.

  Attributes:
    channels: of every map.
    remat: as in `VAN`.
    implementation: as in `VAN`.
    dtype: of the computation.
  """

  channels: int
  remat: bool = False
  implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, maps: Sequence[jax.Array], *, train: bool
  ) -> list[jax.Array]:
    """Maps [B, Hs, Ws, Cs] of each stage to [B, Hs, Ws, channels]."""
    make = functools.partial(
      ConvModule,
      self.channels,
      norm=None,
      activate=False,
      kernel_init=nn.initializers.xavier_uniform(),
      implementation=self.implementation,
      dtype=self.dtype,
    )
    run = functools.partial(convolution.run, train=train, remat=self.remat)
    levels = [
      run(make(kernel_size=1, name=f"lateral_convs_{i}"), x)
      for i, x in enumerate(maps)
    ]
    for i in range(len(levels) - 1, 0, -1):
      above = resize.nearest(levels[i], levels[i - 1].shape[1:3])
      levels[i - 1] = levels[i - 1] + above
    return [
      run(make(kernel_size=3, name=f"fpn_convs_{i}"), x)
      for i, x in enumerate(levels)
    ]


class SemanticFPN(nn.Module):
  """Semantic FPN, arXiv:1901.02446, as mmsegmentation 0.12 has it.

  Each level of a feature pyramid is enlarged to stride 4 in steps of 2, a 3x3
  convolution before each; their sum is classified.

  Attributes:
    channels: of the convolutions that enlarge.
    pyramid_channels: of the feature pyramid.
    dropout_rate: of whole channels, before the classes.
    num_classes: K.
    norm: makes a BatchNorm; None where norms are folded.
    remat: as in `VAN`, of each convolution with its norm.
    implementation: as in `VAN`.
    dtype: of the computation.
  """

  channels: int = 128
  pyramid_channels: int = 256
  dropout_rate: float = 0.1
  num_classes: int = 150
  norm: Callable[..., BatchNorm] | None = BatchNorm
  remat: bool = False
  implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  def __post_init__(self):
    checks.check_positive(
      channels=self.channels, pyramid_channels=self.pyramid_channels
    )
    checks.check_rate(dropout_rate=self.dropout_rate)
    super().__post_init__()

  @nn.compact
  def __call__(self, maps: Sequence[jax.Array], *, train: bool) -> jax.Array:
    """Maps each stage's [B, Hs, Ws, Cs] to logits, [B, H1, W1, K]."""
    kinds: dict[str, Any] = {
      "implementation": self.implementation,
      "dtype": self.dtype,
    }
    neck = FeaturePyramid(
      self.pyramid_channels, remat=self.remat, **kinds, name="neck"
    )
    levels = neck(maps, train=train)
    size = levels[0].shape[1:3]
    total = None
    for i, x in enumerate(levels):
      for k in range(max(i, 1)):
        # mmsegmentation's list has an enlargement after each convolution.
        unit = ConvModule(
          self.channels, 3, self.norm, **kinds, name=f"scale_heads_{i}_{2 * k}"
        )
        x = convolution.run(unit, x, train=train, remat=self.remat)
        if i:
          x = resize.bilinear(x, (2 * x.shape[1], 2 * x.shape[2]))
      x = resize.bilinear(x, size)  # Odd sizes are one or more too large.
      total = x if total is None else total + x
    if total is None:
      raise errors.UserError("maps=[] must be those of a backbone's stages.")
    return convolution.class_logits(
      total,
      num_classes=self.num_classes,
      dropout_rate=self.dropout_rate,
      train=train,
      **kinds,
    )
