"""How a script ends: a line of JSON, or a line that says what was wrong."""

import contextlib
import errno
import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import jax
from absl import logging

from van_jax import errors, host_memory, retrying
from van_jax.cli import config_files, ending, flag_parsing, noise
from van_jax.parallel import processes
from van_jax.training import loop
from van_jax.training.run import interruption, leaving
from van_jax.training.run.leaving import EXIT_AGAIN, EXIT_ERROR

_LAST_SECONDS = 5.0  # That process 0 stays when all others end.

# What a machine refuses whatever is done, often without naming a file.
_REFUSALS = (
  errno.ENOSPC,
  errno.EDQUOT,
  errno.EROFS,
  errno.EMFILE,
  errno.ENFILE,
)


def parse_flags(arguments: Sequence[str]) -> list[str]:
  """Parses a script's flags; an error is a line on stderr and exit status 1.

  A stranger's module may lie in the folder that the script was started from.
  """
  config_files.make_importable()
  try:
    with interruption.ends_at_once():
      program = flag_parsing.parse(arguments)
  except errors.UserError as error:
    _fail(str(error))
  interruption.mute_ctrl_c()
  interruption.end_on_sigterm()
  return program


def run(function: Callable[[], Mapping[str, Any]]) -> None:
  """Prints what a function returns as one line of JSON on stdout.

  Logs go to stderr. A UserError, and what the file system refuses, is one
  line there (its traceback comes with --verbosity=1) and exit status 1. A run
  that was asked to stop, has lost another process, or whose storage fails for
  longer than it is waited for, exits with status 75, and what Ctrl-C ends at
  once with 130. Anything else is a bug, and keeps its traceback; so does what
  only seems to come from storage. On CPUs malloc keeps its memory from here on.
  """
  logging.set_verbosity(max(logging.get_verbosity(), logging.INFO))
  noise.keep_out()
  host_memory.keep_on_cpus()
  ending.bound(EXIT_ERROR)
  try:
    with interruption.ends_at_once():
      result = function()
  except loop.InterruptedRunError as error:
    line = f"{error}; the same command goes on from there."
    if processes.several():
      _leave_together(line)
    logging.warning("%s", line)
    ending.bound(EXIT_AGAIN)
    sys.exit(EXIT_AGAIN)
  except Exception as error:
    again = retrying.may_go_on(error)
    if (line := _line(error, again)) is None:
      raise
    expected = isinstance(error, errors.UserError | OSError)
    level = logging.DEBUG if expected else logging.WARNING  # Or it hides a bug.
    logging.log(level, "%s", traceback.format_exc())
    if isinstance(error, errors.PeerError):
      leaving.leave(f"error: {line}", EXIT_AGAIN)  # JAX would wait for peers.
    status = EXIT_AGAIN if again else EXIT_ERROR
    ending.bound(status)
    _fail(line, status)
  if jax.process_index() == 0:
    print(json.dumps(result), flush=True)
  # The first of several processes may still write what the others wait for.
  ending.bound(0 if jax.process_count() == 1 else ending.NEVER)


def _line(error: Exception, again: bool) -> str | None:
  """Returns what to tell a user; None of a bug.

  The operating system's refusals name a file, or say that something has run
  out; an OSError of another kind was raised by code that is wrong.

  Args:
    error: that a script's function has raised.
    again: whether the same command may go on.
  """
  if isinstance(error, errors.UserError):
    return str(error)
  remedy = " Run the same command when the storage works again." * again
  if isinstance(error, OSError) and error.errno is not None:
    if error.filename is not None:
      return f"{error.filename}: {error.strerror}.{remedy}"
    if again:
      return f"{error.strerror}.{remedy}"
    if error.errno in _REFUSALS:
      return f"{error.strerror}; give it room, and run the same command again."
  if again:  # A library's word for a server that does not answer.
    return f"{type(error).__name__}: {retrying.first_line(error)}.{remedy}"
  return None


def _leave_together(line: str) -> NoReturn:
  """Ends this process once all others are about to end as well.

  One may still be compiling when another has stopped, and JAX aborts whoever
  is left when process 0 is gone: it goes last.
  """
  with contextlib.suppress(errors.PeerError):
    processes.barrier("the end of a run that was asked to stop")
    if processes.index() == 0:
      time.sleep(_LAST_SECONDS)
  leaving.leave(line, EXIT_AGAIN)


def _fail(message: str, status: int = EXIT_ERROR) -> NoReturn:
  print(f"error: {' '.join(message.split())}", file=sys.stderr)
  sys.exit(status)
