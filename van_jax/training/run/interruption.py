"""SIGTERM as a question that the loop asks after each step."""

import contextlib
import signal
from collections.abc import Callable, Iterator

import jax
from absl import logging
from jax.experimental import multihost_utils


@contextlib.contextmanager
def watch_sigterm() -> Iterator[Callable[[int], bool]]:
  """Yields `interrupted(step)`; the signal's handler is put back after.

  With several processes jax.distributed owns the signal, and all processes
  agree on the step after which they stop.
  """
  if jax.process_count() > 1:
    yield multihost_utils.reached_preemption_sync_point
    return
  received = []

  def note(number, frame):
    del frame
    received.append(number)
    logging.warning("SIGTERM: saving after this step, then stopping.")

  before = signal.signal(signal.SIGTERM, note)
  try:
    yield lambda step: bool(received)
  finally:
    signal.signal(signal.SIGTERM, before)
