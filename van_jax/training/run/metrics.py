"""A run's metrics as they are written: TensorBoard, the log, the history."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from van_jax import storage
from van_jax.training.run import history


class MetricWriter:
  """Writes scalars to each of the places; see `opened`."""

  def __init__(self, events: Any, lines: history.HistoryWriter):
    self._events = events
    self._lines = lines

  def write(self, step: int, scalars: Mapping[str, Any]) -> None:
    """Writes what was measured at a step."""
    self._events.write_scalars(step, scalars)
    self._lines.write(step, scalars)

  def flush(self) -> None:
    """Has all of it on disk; or a kill would leave a gap before a save."""
    self._events.flush()
    self._lines.flush()


@contextlib.contextmanager
def opened(
  workdir: str | os.PathLike[str], *, last_step: int
) -> Iterator[MetricWriter]:
  """Yields the writer of a run, whose files are whole when the context ends.

  Of several processes the first one alone writes files.

  Args:
    workdir: the run's folder.
    last_step: of the state that the run goes on from.
  """
  from clu import metric_writers  # Imports TensorFlow: seconds.

  events = metric_writers.create_default_writer(
    storage.absolute(workdir), just_logging=jax.process_index() > 0
  )
  with contextlib.closing(events):
    lines = history.HistoryWriter(workdir, last_step=last_step)
    yield MetricWriter(events, lines)
    lines.flush()  # An evaluation that was made up has no save after it.
