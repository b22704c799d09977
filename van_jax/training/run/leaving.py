"""The end of a script's process at once: one line, and nothing unwound.

Where a peer is lost or a phase hangs, whatever would be unwound waits for what
never comes. What is to last is on disk before.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import NoReturn

EXIT_ERROR = 1  # It would come again.
EXIT_AGAIN = 75  # EX_TEMPFAIL: the same command goes on.

_in_script = False


@contextlib.contextmanager
def script() -> Iterator[None]:
  """Says that the process is a script's, which may be ended at any time."""
  global _in_script
  before, _in_script = _in_script, True
  try:
    yield
  finally:
    _in_script = before


def in_script() -> bool:
  """Returns whether the process may be ended; no notebook's, no test's."""
  return _in_script


def leave(line: str, status: int) -> NoReturn:
  """Ends the process from any thread, with a last line on stderr."""
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(Exception):  # Nobody may be reading them.
      stream.flush()
  with contextlib.suppress(OSError):
    os.write(2, f"{' '.join(line.split())}\n".encode())
  os._exit(status)
