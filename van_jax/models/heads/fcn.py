"""FCN: a few convolutions on one map; the auxiliary head of UPerNet."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from van_jax import errors
from van_jax.models.batch_norm import BatchNorm
from van_jax.models.heads import checks, convolution
from van_jax.models.heads.convolution import ConvModule


class FCNHead(nn.Module):
  """3x3 convolutions on one stage's map, arXiv:1411.4038.

  As mmsegmentation 0.12 has it with `concat_input=False`.

  Attributes:
    stage: whose map it is, from 1; its stride is the logits'.
    channels: of the convolutions.
    convs: how many there are before the classes.
    dropout_rate: of whole channels, before the classes.
    num_classes: K.
    norm: makes a BatchNorm; None where norms are folded.
    remat: as in `VAN`, of each convolution with its norm.
    implementation: as in `VAN`.
    dtype: of the computation.
  """

  stage: int = 3
  channels: int = 256
  convs: int = 1
  dropout_rate: float = 0.1
  num_classes: int = 150
  norm: Callable[..., BatchNorm] | None = BatchNorm
  remat: bool = False
  implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  def __post_init__(self):
    checks.check_positive(channels=self.channels, convs=self.convs)
    checks.check_rate(dropout_rate=self.dropout_rate)
    if not 1 <= self.stage <= 4:
      raise errors.UserError(f"stage={self.stage} must be from 1 to 4.")
    super().__post_init__()

  @nn.compact
  def __call__(self, maps: Sequence[jax.Array], *, train: bool) -> jax.Array:
    """Maps the stage's [B, Hs, Ws, Cs] to logits, [B, Hs, Ws, K]."""
    kinds: dict[str, Any] = {
      "implementation": self.implementation,
      "dtype": self.dtype,
    }
    x = maps[self.stage - 1]
    for i in range(self.convs):
      unit = ConvModule(self.channels, 3, self.norm, **kinds, name=f"convs_{i}")
      x = convolution.run(unit, x, train=train, remat=self.remat)
    return convolution.class_logits(
      x,
      num_classes=self.num_classes,
      dropout_rate=self.dropout_rate,
      train=train,
      **kinds,
    )
