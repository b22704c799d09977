"""What other libraries say of their own affairs, kept out of a script's log."""

import logging as logging_levels
import os
import sys
import warnings
from typing import Any

from absl import logging

_OURS = (f"{os.sep}van_jax{os.sep}", f"{os.sep}clu{os.sep}")
# Their errors come back to us, who say them in a line.
_REPORTING = (f"{os.sep}orbax{os.sep}", f"{os.sep}asyncio{os.sep}")


def keep_out() -> None:
  """Has this program log what is ours, and others' errors.

  Those that we pass on ourselves come with --verbosity=1 alone.
  """
  handler = logging.get_absl_handler()
  if _worth_reading not in handler.filters:
    handler.addFilter(_worth_reading)
  sys.unraisablehook = _unraisable
  # Of a save that failed: Orbax leaves what it had still to write.
  warnings.filterwarnings("ignore", "coroutine .* was never awaited")


def _worth_reading(record: logging_levels.LogRecord) -> bool:
  if any(part in record.pathname for part in _OURS):
    return True
  if any(part in record.pathname for part in _REPORTING):
    return _in_detail()
  return record.levelno >= logging_levels.ERROR


def _unraisable(error: Any) -> None:
  """Reports an error that nobody can catch, unless it is a known echo.

  When a write fails, TensorStore's threads tell an event loop of it that Orbax
  has closed by then.
  """
  echo = "Event loop is closed" in str(error.exc_value)
  if not echo or _in_detail():
    sys.__unraisablehook__(error)


def _in_detail() -> bool:
  return logging.get_verbosity() >= logging.DEBUG
