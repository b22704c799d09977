"""Progress of a run: images a second, time left, share of waiting for data."""

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import jax
from absl import logging


class Progress:
  """Measures a run between two reports, evaluation and saving left out."""

  def __init__(
    self,
    *,
    first_step: int,
    total_steps: int,
    batch_size: int,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Starts the clock.

    Args:
      first_step: steps done before this run began.
      total_steps: steps done at its end.
      batch_size: images a step, over all devices.
      clock: returns seconds.
    """
    self._total_steps = total_steps
    self._batch_size = batch_size
    self._clock = clock
    self._watcher = futures.ThreadPoolExecutor(1, "progress")
    self._finished: futures.Future[float] | None = None
    self._begin(first_step)

  def _begin(self, step: int):
    self._step, self._start = step, self._clock()
    self._waited = self._paused = 0.0

  def follow(self, metrics: Any) -> None:
    """Watches for the device to finish a step that was just started.

    Args:
      metrics: arrays that the step computes.
    """
    self._finished = self._watcher.submit(
      lambda: (jax.block_until_ready(metrics), self._clock())[1]
    )

  @contextlib.contextmanager
  def waiting_for_data(self) -> Iterator[None]:
    """Counts the time within as waiting for input, if the device is idle.

    While the device is at the step that is followed, a batch that is late
    costs nothing.
    """
    start = self._clock()
    yield
    stop = self._clock()
    if self._finished is not None:
      idle_since = self._finished.result() if self._finished.done() else stop
      start = min(max(start, idle_since), stop)
    self._waited += stop - start

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Leaves the time within out of the speed."""
    start = self._clock()
    yield
    self._paused += self._clock() - start

  def report(self, step: int) -> dict[str, float]:
    """Logs a line about the steps since the last report.

    Args:
      step: steps done, all finished on the device.

    Returns:
      images_per_second, data_wait (fraction of the time in which the device
      had nothing to do for want of data), seconds_left.
    """
    seconds = max(self._clock() - self._start - self._paused, 1e-9)
    rate = (step - self._step) / seconds
    left = (self._total_steps - step) / max(rate, 1e-9)
    scalars = {
      "images_per_second": rate * self._batch_size,
      "data_wait": self._waited / seconds,
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
