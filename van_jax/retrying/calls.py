"""Trying again: how often, how long, and what the log says of it.

Object stores' own libraries try again by themselves: TensorStore for 15 minutes
(32 times), TensorFlow for about one, gcsfs six times. Nobody does for files on
disks and network file systems. Here one deadline bounds all: what a library
has spent on its own tries counts towards it.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from absl import logging

from van_jax.retrying import passing

Result = TypeVar("Result")

SECONDS = 180.0  # That one operation on a file is tried for.
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0  # Seconds; doubled each time.


class Patience:
  """How long something has been tried for, and how long it still will be."""

  def __init__(self, what: str, seconds: float):
    """Begins to count.

    Args:
      what: is tried, for the log.
      seconds: that it is tried for.
    """
    self._what, self._seconds = what, seconds
    self._begin, self._delay = time.monotonic(), _FIRST_DELAY

  def is_over(self) -> bool:
    """Returns whether it has been tried for long enough."""
    return time.monotonic() - self._begin >= self._seconds

  def wait(self, error: BaseException) -> None:
    """Says what failed and sleeps, twice as long each time, less at random."""
    left = self._begin + self._seconds - time.monotonic()
    # Or many processes would come back to a busy server all at once.
    delay = min(self._delay * random.uniform(0.5, 1), max(left, 0))
    self._delay = min(2 * self._delay, _LONGEST_DELAY)
    logging.warning(
      "%s failed (%s); trying again in %.1f s, for %.0f s more.",
      self._what,
      passing.first_line(error),
      delay,
      left,
    )
    time.sleep(delay)


def call(
  do: Callable[[], Result],
  what: str,
  *,
  seconds: float = SECONDS,
  done_if: Callable[[OSError], bool] = lambda error: False,
) -> Result | None:
  """Returns what a function returns, called again while its errors pass.

  Args:
    do: may be called many times.
    what: it does, for the log.
    seconds: that it is tried for; the last error is raised then.
    done_if: says of an error of a second try that the first had done it all
      the same, its answer being lost; None is returned then.
  """
  patience, again = Patience(what, seconds), False
  while True:
    try:
      return do()
    except Exception as error:
      if again and isinstance(error, OSError) and done_if(error):
        return None
      if not passing.is_passing(error) or patience.is_over():
        raise
      patience.wait(error)
      again = True
