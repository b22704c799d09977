"""Progress of a run: images a second, time left, share of waiting for data."""

import contextlib
import time
from collections.abc import Callable, Iterator

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
    self._begin(first_step)

  def _begin(self, step: int):
    self._step, self._start = step, self._clock()
    self._waited = self._paused = 0.0

  @contextlib.contextmanager
  def waiting_for_data(self) -> Iterator[None]:
    """Counts the time within as waiting for input."""
    start = self._clock()
    yield
    self._waited += self._clock() - start

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
      images_per_second, data_wait (fraction of the time), seconds_left.
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
