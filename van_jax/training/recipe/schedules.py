"""Learning-rate schedules by name: functions of the updates done before.

Durations come in epochs and are turned into steps here, once. A row of the
table is a function `(course, **own options) -> schedule`.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from van_jax import errors, imports, signatures

Schedule = Callable[[jax.typing.ArrayLike], jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Course:
  """Between what rates a run goes, and when.

  Attributes:
    learning_rate: the peak, at the global batch; rescaled nowhere.
    warmup_learning_rate: where the warm-up starts.
    end_learning_rate: at the end of the descent and all through the cooldown;
      "constant" has no use for it.
    warmup_epochs: of linear warm-up, part of `epochs`; 0 for none.
    epochs: of warm-up and descent together.
    steps_per_epoch: updates in an epoch.
  """

  learning_rate: float
  warmup_learning_rate: float
  end_learning_rate: float
  warmup_epochs: float
  epochs: float
  steps_per_epoch: int


def total_steps(
  *, epochs: float, cooldown_epochs: float, steps_per_epoch: int
) -> int:
  """Returns the updates of a whole run, cooldown and all."""
  return round((epochs + cooldown_epochs) * steps_per_epoch)


def create_schedule(
  *,
  name: str = "official",
  learning_rate: float = 1e-3,
  warmup_learning_rate: float = 1e-6,
  end_learning_rate: float = 1e-6,
  warmup_epochs: float = 5.0,
  epochs: float = 300.0,
  cooldown_epochs: float = 10.0,
  options: Mapping[str, Any] | None = None,
  steps_per_epoch: int,
) -> Schedule:
  """Returns the learning rate [] float32 as a function of updates done [].

  Args:
    name: of `SCHEDULES`, or an import path, "module:function", of a function
      like theirs.
    learning_rate: see `Course`, as for all that are not said here.
    warmup_learning_rate: see `Course`.
    end_learning_rate: see `Course`.
    warmup_epochs: see `Course`.
    epochs: see `Course`.
    cooldown_epochs: at the end rate, after `epochs`.
    options: the named one's own; None for its defaults.
    steps_per_epoch: see `Course`.

  Raises:
    UserError: for an unknown name or option, with the nearest, or values
      that do not fit together.
  """
  row = imports.choose(name, SCHEDULES, "schedule.name")
  signatures.check(row, options or {}, "schedule.options", given=("course",))
  _check_rates(learning_rate, warmup_learning_rate, end_learning_rate)
  _check_durations(warmup_epochs, epochs, cooldown_epochs, steps_per_epoch)
  course = Course(
    learning_rate=learning_rate,
    warmup_learning_rate=warmup_learning_rate,
    end_learning_rate=end_learning_rate,
    warmup_epochs=warmup_epochs,
    epochs=epochs,
    steps_per_epoch=steps_per_epoch,
  )
  schedule = row(course, **(options or {}))
  signatures.check_callable(schedule, "schedule.name")
  # float32, whatever it is called with.
  return lambda count: jnp.asarray(schedule(jnp.asarray(count)), jnp.float32)


def official(course: Course) -> optax.Schedule:
  """Returns timm 0.4.12's cosine, constant within an epoch.

  Epoch 0 runs at the warm-up's start; the cosine counts from epoch 0, its
  first values replaced by the warm-up.
  """
  rates = official_rates(
    learning_rate=course.learning_rate,
    warmup_learning_rate=course.warmup_learning_rate,
    end_learning_rate=course.end_learning_rate,
    warmup_epochs=course.warmup_epochs,
    epochs=course.epochs,
  )
  # Tabled in float64: 1 + cos loses digits near the end in float32.
  table = np.asarray(rates, np.float32)

  def schedule(count: jax.typing.ArrayLike) -> jax.Array:
    epoch = jnp.asarray(count) // course.steps_per_epoch
    return jnp.asarray(table)[jnp.minimum(epoch, len(table) - 1)]

  return schedule


def cosine(course: Course) -> optax.Schedule:
  """Returns a warm-up, then a cosine from its end to the end of `epochs`.

  Both change at each step.
  """
  peak, end = course.learning_rate, course.end_learning_rate
  return _after_warmup(
    course,
    lambda steps: optax.cosine_decay_schedule(peak, steps, alpha=end / peak),
  )


def polynomial(
  course: Course, *, power: float = 1.0, falling_warmup: bool = False
) -> optax.Schedule:
  """Returns a warm-up, then (1 - t) ** power from the peak to the end.

  Args:
    course: of the run; t goes from 0 at the warm-up's end to 1.
    power: above 0; 1 is a straight line, and segmentation has 0.9 or 1.
    falling_warmup: as mmcv's "poly" with a linear warm-up: t is 0 at the first
      step, and the warm-up a factor that rises to 1.
  """
  if not power > 0:
    raise errors.UserError(
      f"schedule.options.power={power} must be positive; 1 is a straight line."
    )
  peak, end = course.learning_rate, course.end_learning_rate
  if not falling_warmup:
    return _after_warmup(
      course, lambda steps: optax.polynomial_schedule(peak, end, power, steps)
    )
  warmup_steps = round(course.warmup_epochs * course.steps_per_epoch)
  steps = round(course.epochs * course.steps_per_epoch)
  descent = optax.polynomial_schedule(peak, end, power, steps)
  factor = optax.linear_schedule(
    course.warmup_learning_rate / peak, 1.0, warmup_steps
  )
  return lambda count: descent(count) * (factor(count) if warmup_steps else 1.0)


def constant(course: Course) -> optax.Schedule:
  """Returns a warm-up, then the peak to the end."""
  return _after_warmup(
    course, lambda steps: optax.constant_schedule(course.learning_rate)
  )


SCHEDULES: dict[str, Callable[..., optax.Schedule]] = {
  "official": official,
  "cosine": cosine,
  "polynomial": polynomial,
  "constant": constant,
}


def official_rates(
  *,
  learning_rate: float,
  warmup_learning_rate: float,
  end_learning_rate: float,
  warmup_epochs: float,
  epochs: float,
) -> list[float]:
  """Returns the official rate of each epoch, and last that of the cooldown.

  Arguments as of `Course`; the durations must be whole epochs.
  """
  durations = {"warmup_epochs": warmup_epochs, "epochs": epochs}
  for name, duration in durations.items():
    if duration != int(duration):
      raise errors.UserError(
        f"schedule.{name}={duration} must be a whole number with "
        "schedule.name='official', whose rate changes once an epoch; "
        "round it or use 'cosine'."
      )
  rates = []
  for epoch in range(int(epochs)):
    if epoch < warmup_epochs:
      rise = (learning_rate - warmup_learning_rate) / warmup_epochs
      rates.append(warmup_learning_rate + epoch * rise)
    else:
      height = 0.5 * (1 + math.cos(math.pi * epoch / epochs))
      rates.append(
        end_learning_rate + (learning_rate - end_learning_rate) * height
      )
  return [*rates, end_learning_rate]


def _after_warmup(
  course: Course, create: Callable[[int], optax.Schedule]
) -> optax.Schedule:
  """Returns a linear warm-up, then what `create` makes of the steps left."""
  warmup_steps = round(course.warmup_epochs * course.steps_per_epoch)
  steps = round(course.epochs * course.steps_per_epoch)
  main = create(max(steps - warmup_steps, 1))
  if warmup_steps == 0:
    return main
  warmup = optax.linear_schedule(
    course.warmup_learning_rate, course.learning_rate, warmup_steps
  )
  return optax.join_schedules([warmup, main], [warmup_steps])


def _check_rates(peak: float, warmup: float, end: float) -> None:
  """Raises UserError for rates that no run can mean."""
  if not 0 < peak < math.inf:
    raise errors.UserError(
      f"schedule.learning_rate={peak} must be positive and finite; the "
      "official recipe uses 1e-3 for a batch of 1024."
    )
  starts = {"warmup_learning_rate": warmup, "end_learning_rate": end}
  for name, rate in starts.items():
    if not 0 <= rate <= peak:
      raise errors.UserError(
        f"schedule.{name}={rate} must be from 0 to the peak, "
        f"schedule.learning_rate={peak}; lower it or raise the peak."
      )


def _check_durations(
  warmup_epochs: float,
  epochs: float,
  cooldown_epochs: float,
  steps_per_epoch: int,
) -> None:
  """Raises UserError for durations that do not fit together."""
  if steps_per_epoch < 1:
    raise errors.UserError(
      f"steps_per_epoch={steps_per_epoch} must be 1 or more; the batch is "
      "larger than the training split, lower batch_size."
    )
  if not epochs > 0:
    raise errors.UserError(
      f"schedule.epochs={epochs} must be positive; say how long to train."
    )
  if not cooldown_epochs >= 0:
    raise errors.UserError(
      f"schedule.cooldown_epochs={cooldown_epochs} must not be negative; 0 "
      "means no cooldown."
    )
  if not 0 <= warmup_epochs <= epochs:
    raise errors.UserError(
      f"schedule.warmup_epochs={warmup_epochs} must be from 0 to "
      f"schedule.epochs={epochs}; shorten the warm-up or lengthen the run."
    )
