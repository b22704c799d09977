"""The task: a model's inputs, targets, losses and scores, as functions."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from van_jax import errors

MODES = ("max", "min")
Batch = Mapping[str, jax.Array]
Inputs = Callable[[Batch], Any]
Prepare = Callable[[jax.Array, Batch], tuple[Any, Any]]
Loss = Callable[[Any, Any], tuple[jax.Array, dict[str, jax.Array]]]
Sums = Callable[[Any, Batch], dict[str, jax.Array]]
Scores = Callable[[Mapping[str, np.ndarray]], dict[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
  """What training and evaluation ask of a task, and all that they know of it.

  A batch has image uint8 [B, H, W, 3] and label [B, ...], and in evaluation
  mask [B], false for padding. All functions but `scores` are traced.

  Attributes:
    prepare: `(key, batch) -> (inputs, targets)` of a training step; inputs are
      what the model takes.
    loss: `(outputs, targets) -> (loss [], metrics)`, means over the batch;
      each metric [] is logged beside the loss.
    inputs: `batch -> inputs` of evaluation; nothing is drawn.
    sums: `(outputs, batch) -> sums` over the examples that the mask calls
      real, by name; arrays of any shape.
    scores: `totals -> scores`, from the sums over all batches (integers as
      int64, others as float64) to plain JSON values.
    best: the score that checkpoints are kept by.
    best_mode: "max" if a higher one is better, "min" if a lower one is.
    classes: how many classes the outputs are of: the data must have as many,
      and a bundle gets their names. None where outputs are no classes.
  """

  prepare: Prepare
  loss: Loss
  inputs: Inputs
  sums: Sums
  scores: Scores
  best: str
  best_mode: str = "max"
  classes: int | None = None

  def __post_init__(self):
    if self.best_mode not in MODES:
      raise errors.UserError(
        f"task.best_mode={self.best_mode!r} must be one of {', '.join(MODES)}."
      )
