"""How long a training of any length takes, and how its rate goes."""

import math
import re
from collections.abc import Mapping
from typing import Any

import optax

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


def schedule(
  course: Mapping[str, Any], learning_rate: float, epoch_steps: int
) -> optax.Schedule:
  """Returns the learning rate by updates done.

  Args:
    course: what `options` returns.
    learning_rate: the peak.
    epoch_steps: updates in an epoch.

  Raises:
    UserError: for what does not fit, in the words of `fit`.
  """
  try:
    return schedules.create_schedule(
      learning_rate=learning_rate, steps_per_epoch=epoch_steps, **course
    )
  except errors.UserError as error:  # Which names what a config calls so.
    own = r"\bschedule\.(epochs|learning_rate)\b"
    raise errors.UserError(re.sub(own, r"\1", str(error))) from error


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
  return max(round(min(every_epochs, 1e9) * epoch_steps), 1)
