"""How fast a pass over a data set was."""

import time
from collections.abc import Iterable, Iterator
from typing import Any


class Stopwatch:
  """Times a pass from its second batch on: the first one waits to compile."""

  def __init__(self) -> None:
    self._since: float | None = None

  def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
    """Yields batches; the clock starts when the first has been dealt with."""
    for batch in batches:
      yield batch
      if self._since is None:
        self._since = time.perf_counter()

  def images_per_second(self, images: int) -> float | None:
    """Returns the speed until now; None without images after the first batch.

    Args:
      images: of all batches but the first, over all processes.
    """
    if self._since is None or images <= 0:
      return None
    return images / (time.perf_counter() - self._since)
