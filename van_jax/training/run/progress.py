"""Progress of a run: images a second, time left, share of waiting for data."""

import contextlib
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import jax
from absl import logging

from van_jax.training.run.phases import DATA, STEP, Phases


class Progress:
  """Measures a run between two reports, by the time of its steps alone."""

  def __init__(
    self,
    *,
    first_step: int,
    total_steps: int,
    batch_size: int,
    phases: Phases,
  ):
    """Measures from here on.

    Args:
      first_step: steps done before this run began.
      total_steps: steps done at its end.
      batch_size: images a step, over all devices.
      phases: of the run; steps and their waiting for data are counted.
    """
    self._total_steps = total_steps
    self._batch_size = batch_size
    self._phases = phases
    self._watcher = futures.ThreadPoolExecutor(1, "progress")
    self._finished: futures.Future[float] | None = None
    self._begin(first_step)

  def _begin(self, step: int):
    self._step, self._start = step, self._phases.seconds()

  def follow(self, metrics: Any) -> None:
    """Watches for the device to finish a step that was just started.

    Args:
      metrics: arrays that the step computes.
    """
    self._finished = self._watcher.submit(self._finish, metrics)

  def _finish(self, metrics: Any) -> float:
    jax.block_until_ready(metrics)
    self._phases.beat(STEP)
    return self._phases.now()

  @contextlib.contextmanager
  def waiting_for_data(self) -> Iterator[None]:
    """Counts the time within as waiting for input, if the device is idle.

    While the device is at the step that is followed, a batch that is late
    costs nothing.
    """
    start = self._phases.now()
    with self._phases.phase(DATA):
      yield
    stop = self._phases.now()
    if self._finished is not None:
      idle_since = self._finished.result() if self._finished.done() else stop
      busy = min(max(idle_since - start, 0.0), stop - start)
      self._phases.move(DATA, STEP, busy)

  def report(self, step: int) -> dict[str, float]:
    """Logs a line about the steps since the last report.

    Args:
      step: steps done, all finished on the device.

    Returns:
      images_per_second, data_wait (fraction of the time in which the device
      had nothing to do for want of data), seconds_left.
    """
    now = self._phases.seconds()
    waited, stepped = (
      now.get(name, 0.0) - self._start.get(name, 0.0) for name in (DATA, STEP)
    )
    seconds = max(waited + stepped, 1e-9)
    rate = (step - self._step) / seconds
    left = (self._total_steps - step) / max(rate, 1e-9)
    scalars = {
      "images_per_second": rate * self._batch_size,
      "data_wait": waited / seconds,
      "seconds_left": left,
    }
    logging.info(
      "step %d/%d (%.1f %%), %.1f images/s, data wait %.0f %%, %s left",
      step,
      self._total_steps,
      100 * step / self._total_steps,
      scalars["images_per_second"],
      100 * scalars["data_wait"],
      format_duration(left),
    )
    self._begin(step)
    return {f"progress/{name}": value for name, value in scalars.items()}


def format_duration(seconds: float) -> str:
  """Returns `1d02h`, `3h05m` or `4m07s`."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  days, hours = divmod(hours, 24)
  if days:
    return f"{days}d{hours:02}h"
  if hours:
    return f"{hours}h{minutes:02}m"
  return f"{minutes}m{seconds:02}s"
