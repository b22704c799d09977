"""How a script ends: a line of JSON, or a line that says what was wrong."""

import json
import logging as logging_levels
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import jax
from absl import logging

from van_jax import errors
from van_jax.cli import flag_parsing
from van_jax.training import loop
from van_jax.training.run import checkpoint, interruption

EXIT_ERROR = 1
EXIT_INTERRUPTED = 75  # EX_TEMPFAIL: the same command goes on.

_EXPECTED = (
  errors.UserError,
  OSError,
  checkpoint.CheckpointError,
  loop.NonFiniteError,
)


def parse_flags(arguments: Sequence[str]) -> list[str]:
  """Parses a script's flags; an error is a line on stderr and exit status 1.

  A stranger's module may lie in the folder that the script was started from.
  """
  sys.path.append(os.getcwd())
  try:
    with interruption.ends_at_ctrl_c():
      program = flag_parsing.parse(arguments)
  except ValueError as error:
    _fail(error)
  interruption.mute_ctrl_c()
  return program


def run(function: Callable[[], Mapping[str, Any]]) -> None:
  """Prints what a function returns as one line of JSON on stdout.

  Logs go to stderr. An expected error is one line there (its traceback comes
  with --verbosity=1) and exit status 1; a run that was asked to stop exits
  with status 75, and what Ctrl-C ends at once with 130. Anything else is a
  bug, and keeps its traceback.
  """
  logging.set_verbosity(max(logging.get_verbosity(), logging.INFO))
  logging.get_absl_handler().addFilter(_worth_reading)
  try:
    with interruption.ends_at_ctrl_c():
      result = function()
  except loop.InterruptedRunError as error:
    logging.warning("%s; the same command goes on from there.", error)
    sys.exit(EXIT_INTERRUPTED)
  except _EXPECTED as error:
    logging.debug("%s", traceback.format_exc())
    _fail(error)
  if jax.process_index() == 0:
    print(json.dumps(result), flush=True)


def _fail(error: Exception) -> NoReturn:
  print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
  sys.exit(EXIT_ERROR)


def _worth_reading(record: Any) -> bool:
  """Keeps other libraries' bookkeeping out of the log."""
  ours = f"{os.sep}van_jax{os.sep}" in record.pathname
  clu = f"{os.sep}clu{os.sep}" in record.pathname
  return ours or clu or record.levelno >= logging_levels.ERROR
