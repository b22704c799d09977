"""How long a training of any length takes, and how its rate goes."""

import math
from collections.abc import Mapping
from typing import Any

from van_jax import errors
from van_jax.training.recipe import schedules


def options(epochs: float, own: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the schedule's options, those of short runs where none are given.

  Args:
    epochs: of the training.
    own: what the user has said of the schedule.
  """
  warmup_epochs = min(5.0, epochs / 10)
  if own.get("name") == "official":  # Its rate changes once an epoch.
    warmup_epochs = float(math.floor(warmup_epochs))
  return {
    "name": "cosine",
    "warmup_epochs": warmup_epochs,
    "cooldown_epochs": 0.0,
    "epochs": epochs,
    **own,
  }


def total_steps(course: Mapping[str, Any], epoch_steps: int) -> int:
  """Returns the updates of the whole training, at least one."""
  steps = schedules.total_steps(
    epochs=course["epochs"],
    cooldown_epochs=course["cooldown_epochs"],
    steps_per_epoch=epoch_steps,
  )
  if steps < 1:
    raise errors.UserError(
      f"epochs={course['epochs']} of {epoch_steps} steps is no step; train for "
      f"at least {1 / epoch_steps:.2g}."
    )
  return steps


def eval_steps(every_epochs: float, epoch_steps: int) -> int:
  """Returns the updates between two evaluations."""
  if not every_epochs > 0:
    raise errors.UserError(
      f"eval_every_epochs={every_epochs} must be above 0; math.inf evaluates "
      "at the end alone."
    )
  return max(round(min(every_epochs, 1e9) * epoch_steps), 1)
