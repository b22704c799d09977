"""A profiler's trace over a window of steps."""

import contextlib
import os
from collections.abc import Callable, Iterator

import jax
from absl import logging

from van_jax import errors


@contextlib.contextmanager
def trace_window(
  directory: str | os.PathLike[str], *, first_step: int, num_steps: int
) -> Iterator[Callable[[int], None]]:
  """Yields a function that, told of each step before it, traces a window.

  A trace that is still going on at the end is written then.

  Args:
    directory: where TensorBoard and Perfetto find the trace.
    first_step: first step traced, from 1.
    num_steps: length of the window; 0 for no trace.

  Raises:
    UserError: when the window is malformed.
  """
  check_window(first_step, num_steps)
  tracing = False

  def stop():
    nonlocal tracing
    tracing = False
    jax.profiler.stop_trace()
    logging.info("Trace written to %s", directory)

  def observe(step: int):
    nonlocal tracing
    if num_steps and step == first_step:
      jax.profiler.start_trace(os.fspath(directory))
      tracing = True
    elif tracing and step >= first_step + num_steps:
      stop()

  try:
    yield observe
  finally:
    if tracing:
      stop()


def check_window(first_step: int, num_steps: int) -> None:
  """Raises UserError unless these steps can be traced."""
  if num_steps < 0 or (num_steps and first_step < 1):
    raise errors.UserError(
      f"logging.profile_first_step={first_step} must be 1 or more and "
      f"logging.profile_steps={num_steps} 0 (no trace) or more."
    )
