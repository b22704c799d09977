"""Which checkpoints a folder has: the whole ones, and the best of them."""

import math
import os
from collections.abc import Mapping

import orbax.checkpoint as ocp
from absl import logging

from van_jax import storage
from van_jax.training.run import scores as scores_lib
from van_jax.training.run.restoring import CheckpointError


def steps(directory: str | os.PathLike[str]) -> list[int]:
  """Returns the steps of the finished checkpoints in a folder, ascending."""
  directory = storage.absolute(directory)
  if not directory.is_dir():
    return []
  return sorted(ocp.utils.checkpoint_steps(directory))


def best_step(
  directory: str | os.PathLike[str], *, best: str, best_mode: str
) -> int:
  """Returns the step of the checkpoint with the best score, the last of such.

  Args:
    directory: the folder of checkpoints.
    best: name of the score.
    best_mode: "max" if a higher one is better, "min" if a lower one is.

  Raises:
    CheckpointError: when no checkpoint was saved with scores.
  """
  directory = storage.absolute(directory)
  scores = {}
  for step in steps(directory):
    try:
      found = scores_lib.read(directory / str(step)) or {}
    except scores_lib.DamagedScoresError as error:
      logging.warning("%s Step %d is not among the best.", error, step)
      continue
    if best in found:
      scores[step] = rank(found, best=best, best_mode=best_mode)
  if not scores:
    raise CheckpointError(
      f"No checkpoint in {directory} was saved with {best}, so that none is "
      "the best; ask for --step=latest."
    )
  return max(scores, key=lambda s: (scores[s], s))


def rank(scores: Mapping[str, float], *, best: str, best_mode: str) -> float:
  """Returns a number that is higher for better scores, lowest for NaN."""
  value = scores.get(best, math.nan)  # Where damage has renamed it.
  if math.isnan(value):
    return -math.inf
  return -value if best_mode == "min" else value
