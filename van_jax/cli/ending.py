"""The end of a script's process, which comes whatever its threads wait for."""

import contextlib
import os
import sys
import threading
import time

_GRACE_SECONDS = 30.0  # What is to be on disk is there before the end begins.
_LOOK_SECONDS = 1.0
NEVER = -1  # For an end that may take its time.
_status: list[int] = []


def bound(status: int) -> None:
  """Has this process exit with a status, soon after its end has begun.

  An interpreter that ends waits for all its threads, and some of them, of a
  library whose work has failed, wait for each other. The time counts from when
  the main thread has ended, so that nothing happens to a program that goes on.

  Args:
    status: what the process exits with, or NEVER; the last call's counts.
  """
  _status.append(status)
  if len(_status) == 1:
    threading.Thread(target=_watch, name="ending", daemon=True).start()


def _watch() -> None:
  while not _main_thread_has_ended():
    time.sleep(_LOOK_SECONDS)
  if _status[-1] == NEVER:
    return
  time.sleep(_GRACE_SECONDS)
  with contextlib.suppress(Exception):  # Nobody may be reading them.
    sys.stdout.flush()
    sys.stderr.flush()
  os._exit(_status[-1])


def _main_thread_has_ended() -> bool:
  """Returns whether the main thread runs nothing but the interpreter's end.

  It waits for other threads there, and to join it would be to wait with it.
  """
  frame = sys._current_frames().get(threading.main_thread().ident or 0)
  while frame is not None and frame.f_back is not None:
    frame = frame.f_back
  return frame is None or frame.f_globals.get("__name__") == "threading"
