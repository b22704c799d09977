"""Learning-rate schedules: functions of the updates done before.

Durations come in epochs and are turned into steps here, once.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

Schedule = Callable[[jax.typing.ArrayLike], jax.Array]
NAMES = ("official", "cosine", "constant")


def total_steps(
  *, epochs: float, cooldown_epochs: float, steps_per_epoch: int
) -> int:
  """Returns the updates of a whole run, cooldown and all."""
  return round((epochs + cooldown_epochs) * steps_per_epoch)


def create_schedule(
  *,
  name: str,
  learning_rate: float,
  warmup_learning_rate: float,
  end_learning_rate: float,
  warmup_epochs: float,
  epochs: float,
  cooldown_epochs: float,
  steps_per_epoch: int,
) -> Schedule:
  """Returns the learning rate [] float32 as a function of updates done [].

  Args:
    name: "official": timm 0.4.12's cosine, constant within an epoch. Epoch 0
      runs at the warm-up's start; the cosine counts from epoch 0, its first
      values replaced by the warm-up. "cosine": changes at each step; linear
      warm-up, then a cosine from its end to the end of `epochs`. "constant":
      linear warm-up, then the peak to the end.
    learning_rate: the peak, at the global batch; rescaled nowhere.
    warmup_learning_rate: where the warm-up starts.
    end_learning_rate: at the end of the cosine and all through the cooldown;
      "constant" has no use for it.
    warmup_epochs: of linear warm-up, part of `epochs`; 0 for none.
    epochs: of warm-up and cosine together.
    cooldown_epochs: at the end rate, after `epochs`.
    steps_per_epoch: updates in an epoch.
  """
  _check_name(name)
  _check_rates(learning_rate, warmup_learning_rate, end_learning_rate)
  _check_durations(warmup_epochs, epochs, cooldown_epochs, steps_per_epoch)
  if name == "official":
    rates = official_rates(
      learning_rate=learning_rate,
      warmup_learning_rate=warmup_learning_rate,
      end_learning_rate=end_learning_rate,
      warmup_epochs=warmup_epochs,
      epochs=epochs,
    )
    return _piecewise(rates, steps_per_epoch)
  warmup_steps = round(warmup_epochs * steps_per_epoch)
  steps = round(epochs * steps_per_epoch)
  if name == "cosine":
    main = optax.cosine_decay_schedule(
      learning_rate,
      max(steps - warmup_steps, 1),
      alpha=end_learning_rate / learning_rate,
    )
  else:
    main = optax.constant_schedule(learning_rate)
  if warmup_steps == 0:
    return _as_float32(main)
  warmup = optax.linear_schedule(
    warmup_learning_rate, learning_rate, warmup_steps
  )
  return _as_float32(optax.join_schedules([warmup, main], [warmup_steps]))


def official_rates(
  *,
  learning_rate: float,
  warmup_learning_rate: float,
  end_learning_rate: float,
  warmup_epochs: float,
  epochs: float,
) -> list[float]:
  """Returns the official rate of each epoch, and last that of the cooldown.

  Arguments as in `create_schedule`; the durations must be whole epochs.
  """
  durations = {"warmup_epochs": warmup_epochs, "epochs": epochs}
  for name, duration in durations.items():
    if duration != int(duration):
      raise ValueError(
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


def _piecewise(rates: list[float], steps_per_epoch: int) -> Schedule:
  """Returns the schedule that reads `rates` by epoch, and keeps the last."""
  # Tabled in float64: 1 + cos loses digits near the end in float32.
  table = np.asarray(rates, np.float32)

  def schedule(count: jax.typing.ArrayLike) -> jax.Array:
    epoch = jnp.asarray(count) // steps_per_epoch
    return jnp.asarray(table)[jnp.minimum(epoch, len(table) - 1)]

  return schedule


def _as_float32(schedule: optax.Schedule) -> Schedule:
  """Returns `schedule` with float32 results, whatever it is called with."""
  return lambda count: jnp.asarray(schedule(jnp.asarray(count)), jnp.float32)


def _check_name(name: str) -> None:
  """Raises ValueError for a schedule that does not exist."""
  if name not in NAMES:
    raise ValueError(
      f"schedule.name={name!r} is unknown; choose one of {', '.join(NAMES)}."
    )


def _check_rates(peak: float, warmup: float, end: float) -> None:
  """Raises ValueError for rates that no run can mean."""
  if not 0 < peak < math.inf:
    raise ValueError(
      f"schedule.learning_rate={peak} must be positive and finite; the "
      "official recipe uses 1e-3 for a batch of 1024."
    )
  starts = {"warmup_learning_rate": warmup, "end_learning_rate": end}
  for name, rate in starts.items():
    if not 0 <= rate <= peak:
      raise ValueError(
        f"schedule.{name}={rate} must be from 0 to the peak, "
        f"schedule.learning_rate={peak}; lower it or raise the peak."
      )


def _check_durations(
  warmup_epochs: float,
  epochs: float,
  cooldown_epochs: float,
  steps_per_epoch: int,
) -> None:
  """Raises ValueError for durations that do not fit together."""
  if steps_per_epoch < 1:
    raise ValueError(
      f"steps_per_epoch={steps_per_epoch} must be 1 or more; the batch is "
      "larger than the training split, lower batch_size."
    )
  if not epochs > 0:
    raise ValueError(
      f"schedule.epochs={epochs} must be positive; say how long to train."
    )
  if not cooldown_epochs >= 0:
    raise ValueError(
      f"schedule.cooldown_epochs={cooldown_epochs} must not be negative; 0 "
      "means no cooldown."
    )
  if not 0 <= warmup_epochs <= epochs:
    raise ValueError(
      f"schedule.warmup_epochs={warmup_epochs} must be from 0 to "
      f"schedule.epochs={epochs}; shorten the warm-up or lengthen the run."
    )
