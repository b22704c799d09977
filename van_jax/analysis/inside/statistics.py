"""What the features of each stage are like, over many images."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from van_jax.analysis.inside import inputs, probe

_DEAD = 1e-6  # Of the map's own deviation.


class StageStatistics(NamedTuple):
  """A stage's features over images and positions.

  Attributes:
    mean: of all values.
    std: of all values.
    norm: mean Euclidean length of a position's C channels.
    channel_mean: [C].
    channel_std: [C].
    dead_channels: how many hardly vary: std below 1e-6 of `std`.
    effective_rank: exp of the entropy of the singular values of the centred
      features, as parts of their sum (Roy and Vetterli 2007); from 1, all
      channels are one, to C, all are independent and of one size. 0 where
      nothing varies.
  """

  mean: float
  std: float
  norm: float
  channel_mean: np.ndarray
  channel_std: np.ndarray
  dead_channels: int
  effective_rank: float


def stage_statistics(
  model: nn.Module, variables: Any, images: Any, *, batch_size: int = 16
) -> dict[str, StageStatistics]:
  """Returns the statistics of each stage's features, by "stage1" and so on.

  They are of the last block's output, before the stage's LayerNorm: after it
  every position has mean 0 and the same length, which tells nothing.

  Args:
    model: a VAN, or a module that holds one.
    variables: of the model.
    images: [N, H, W, 3], normalised.
    batch_size: images at once; it changes nothing but by rounding.

  Raises:
    UserError: without any image, or for images that are not normalised.
  """
  images = inputs.checked(images)
  path, van = probe.find_van(model, variables, images[:1])
  places = tuple((*path, name) for name in probe.last_blocks(van).values())
  sums = [_Sums() for _ in places]
  for batch in inputs.batches(images, batch_size):
    found = _features(model, places, variables, batch)
    for total, features in zip(sums, found, strict=True):
      total.add(np.asarray(features, np.float64))
  return {f"stage{s}": total.result() for s, total in enumerate(sums, start=1)}


@functools.partial(jax.jit, static_argnames=("model", "places"))
def _features(model, places, variables, images) -> list[jax.Array]:
  _, found = probe.run(model, variables, images, places=places)
  return [found[place].astype(jnp.float32) for place in places]


class _Sums:
  """Sums over positions that the statistics follow from."""

  def __init__(self) -> None:
    self.count = 0
    self.lengths = 0.0
    self.first: Any = 0.0
    self.second: Any = 0.0

  def add(self, features: np.ndarray) -> None:
    """Takes [B, h, w, C] float64."""
    rows = features.reshape(-1, features.shape[-1])
    self.count += len(rows)
    self.lengths += np.linalg.norm(rows, axis=1).sum()
    self.first = self.first + rows.sum(0)
    self.second = self.second + rows.T @ rows

  def result(self) -> StageStatistics:
    """Returns the statistics of all that came."""
    mean = self.first / self.count
    covariance = self.second / self.count - np.outer(mean, mean)
    variance = np.maximum(np.diag(covariance), 0)
    std = float(np.sqrt(np.mean(variance) + np.var(mean)))
    return StageStatistics(
      mean=float(mean.mean()),
      std=std,
      norm=float(self.lengths / self.count),
      channel_mean=mean,
      channel_std=np.sqrt(variance),
      dead_channels=int(np.sum(np.sqrt(variance) < _DEAD * std)),
      effective_rank=_effective_rank(covariance),
    )


def _effective_rank(covariance: np.ndarray) -> float:
  values = np.sqrt(np.maximum(np.linalg.eigvalsh(covariance), 0))
  if not values.any():
    return 0.0  # Nothing varies.
  parts = values / values.sum()
  parts = parts[parts > 0]
  return float(np.exp(-np.sum(parts * np.log(parts))))
