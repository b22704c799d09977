"""UPerNet: pyramid pooling on the last map, and a pyramid down from there."""

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
from van_jax.models.heads.pooling import AdaptiveAveragePool


class UPerNet(nn.Module):
  """UPerNet, arXiv:1807.10221, as mmsegmentation 0.12 has it.

  Attributes:
    channels: of every convolution.
    pool_scales: cells along each axis of the grids that the last map is
      averaged over.
    dropout_rate: of whole channels, before the classes.
    num_classes: K.
    norm: makes a BatchNorm; None where norms are folded.
    remat: as in `VAN`, of each convolution with its norm.
    implementation: as in `VAN`.
    dtype: of the computation.
  """

  channels: int = 512
  pool_scales: tuple[int, ...] = (1, 2, 3, 6)
  dropout_rate: float = 0.1
  num_classes: int = 150
  norm: Callable[..., BatchNorm] | None = BatchNorm
  remat: bool = False
  implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  def __post_init__(self):
    checks.check_positive(channels=self.channels)
    checks.check_rate(dropout_rate=self.dropout_rate)
    scales = self.pool_scales
    if not scales or any(int(s) != s or s < 1 for s in scales):
      raise errors.UserError(
        f"pool_scales={scales} must be whole numbers, at least 1."
      )
    super().__post_init__()

  @nn.compact
  def __call__(self, maps: Sequence[jax.Array], *, train: bool) -> jax.Array:
    """Maps each stage's [B, Hs, Ws, Cs] to logits, [B, H1, W1, K]."""
    kinds: dict[str, Any] = {
      "implementation": self.implementation,
      "dtype": self.dtype,
    }
    unit = functools.partial(ConvModule, self.channels, norm=self.norm, **kinds)
    run = functools.partial(convolution.run, train=train, remat=self.remat)
    *lower, last = maps
    levels = [
      run(unit(kernel_size=1, name=f"lateral_convs_{i}"), x)
      for i, x in enumerate(lower)
    ]
    pooled = [last]
    for i, scale in enumerate(self.pool_scales):
      # mmsegmentation's list has the pooling before the convolution.
      cells = AdaptiveAveragePool(scale, name=f"psp_modules_{i}_0")(last)
      cells = run(unit(kernel_size=1, name=f"psp_modules_{i}_1"), cells)
      pooled.append(resize.bilinear(cells, last.shape[1:3]))
    last = jnp.concatenate(pooled, -1)
    levels.append(run(unit(kernel_size=3, name="bottleneck"), last))
    for i in range(len(levels) - 1, 0, -1):
      above = resize.bilinear(levels[i], levels[i - 1].shape[1:3])
      levels[i - 1] = levels[i - 1] + above
    outputs = [
      run(unit(kernel_size=3, name=f"fpn_convs_{i}"), x)
      for i, x in enumerate(levels[:-1])
    ]
    size = levels[0].shape[1:3]
    x = jnp.concatenate(
      [resize.bilinear(x, size) for x in (*outputs, levels[-1])], -1
    )
    return convolution.class_logits(
      run(unit(kernel_size=3, name="fpn_bottleneck"), x),
      num_classes=self.num_classes,
      dropout_rate=self.dropout_rate,
      train=train,
      **kinds,
    )
