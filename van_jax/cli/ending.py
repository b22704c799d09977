"""The end of a script's process, which comes whatever its threads wait for."""

# It has its own function called when the interpreter's end begins, and waits
# there for its workers: to be called before it, ours is registered after it.
import concurrent.futures.thread  # noqa: F401
import contextlib
import os
import sys
import threading
from typing import Any

_GRACE_SECONDS = 30.0  # What is to be on disk is there before the end begins.
NEVER = -1  # For an end that may take its time.
_status: list[int] = []
_begun = threading.Event()


def bound(status: int) -> None:
  """Has this process exit with a status, soon after its end has begun.

  An interpreter that ends waits for all its threads, and some of them, of a
  library whose work has failed, wait for each other. The time counts from where
  it begins to wait, so that nothing happens to a program that goes on: a test,
  a notebook, a prompt.

  Args:
    status: what the process exits with, or NEVER; the last call's counts.
  """
  _status.append(status)
  if len(_status) > 1:
    return
  # `atexit` would be too late: its functions are called after the waiting.
  threads: Any = threading
  threads._register_atexit(_begin)
  threading.Thread(target=_watch, name="ending", daemon=True).start()


def _begin() -> None:
  _begun.set()
  with contextlib.suppress(Exception):  # Nobody may be reading them.
    sys.stdout.flush()
    sys.stderr.flush()


def _watch() -> None:
  _begun.wait()
  if _status[-1] == NEVER:
    return
  threading.Event().wait(_GRACE_SECONDS)
  os._exit(_status[-1])
