"""A watch over a run: a phase that takes too long is a hang, and is ended.

A hang has no error and no end: a collective whose partner is gone, a file
system that does not answer, two threads that wait for each other. A thread
looks at the phase that the run is in; when its deadline is over it says where,
with the stacks of all threads, and ends the process so that the same command
goes on. Should a call in C never give the interpreter's lock back, no thread
of Python's runs, and a timer of the kernel's ends the process instead.
"""

import contextlib
import ctypes
import faulthandler
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from absl import logging
from etils import epath

from van_jax import storage
from van_jax.parallel import processes
from van_jax.training.run import hangs, leaving
from van_jax.training.run.phases import COMPILE, DATA, STEP, Phases, Standing

_LOOK_SECONDS = 1.0
_HALTED_SECONDS = 5.0  # A look that is so late: the whole process was halted.
_TELL_SECONDS = 5.0  # For what is told to be written and read.
_COLLECT_SECONDS = 10.0  # For the others to answer, and that to be logged.
_STOP_SECONDS = 10.0  # For the watch to end; it may be asking process 0.
_SLOW = 10  # Times the fastest step: as slow as that may a step be.
_SPARE_SECONDS = 30.0  # Of the kernel's timer after the deadline.


class Watchdog:
  """Watches one run."""

  def __init__(
    self,
    phases: Phases,
    *,
    deadlines: Mapping[str, float],
    workdir: str | os.PathLike[str],
  ):
    """Takes no time yet.

    Args:
      phases: of the run.
      deadlines: seconds without a sign of life, by phase; a phase that is not
        there has none.
      workdir: where the stacks of a hang are written, if it is there.
    """
    self._phases = phases
    self._deadlines = deadlines
    self._workdir = storage.absolute(workdir)
    self._stopped = threading.Event()
    self._reported: tuple[str, ...] | None = None  # Outside of scripts.
    self._others = hangs.Others()
    # JAX aborts a process that speaks to the others before it has joined them,
    # which is a part of the start-up.
    self._joined = False
    self._is_timed = False  # By the kernel's timer, too.

  def allowed(self, standing: Standing) -> float | None:
    """Returns the seconds that the innermost phase may take; None: any.

    A step that is slow is no hang: where the fastest took long, so may others.
    Before the first has finished nothing is known, and it may take as long as
    compiling.
    """
    name = standing.names[-1]
    if (seconds := self._deadlines.get(name)) is None:
      return None
    if name not in (STEP, DATA):
      return seconds
    if not standing.fastest_step:
      return max(seconds, self._deadlines.get(COMPILE, 0.0))
    return max(seconds, _SLOW * standing.fastest_step)

  def look(self) -> None:
    """Looks once; returns unless the process is ended."""
    standing = self._phases.standing()
    self._joined |= len(standing.names) > 1
    allowed = self.allowed(standing)
    over = allowed is not None and standing.seconds > allowed
    if leaving.in_script() and not self._stopped.is_set():
      self._is_timed = True
      left = None if allowed is None else max(allowed - standing.seconds, 0.0)
      _set_timer(left)
    if over and standing.names != self._reported:
      self._end(standing, allowed or 0.0)
    elif not over:
      self._reported = None
    if self._joined:
      self._others.look(standing)

  def watch(self) -> None:
    """Looks again and again, until `stop`."""
    while True:
      before = time.monotonic()
      if self._stopped.wait(_LOOK_SECONDS):
        return
      late = time.monotonic() - before - _LOOK_SECONDS
      if late > _HALTED_SECONDS:
        self._phases.forgive(late)
      self.look()

  def stop(self, thread: threading.Thread) -> None:
    """Ends the watch, and waits for its thread, which may hang itself."""
    self._stopped.set()
    thread.join(_STOP_SECONDS)
    if self._is_timed:  # Or it is the timer of somebody else.
      _set_timer(None)

  def _end(self, standing: Standing, allowed: float) -> None:
    """Says where the run hangs, and ends a script."""
    where = " > ".join(standing.names)
    line = (
      f"process {processes.index()} (pid {os.getpid()} on "
      f"{socket.gethostname()}) hangs in {where}: {standing.seconds:.0f} s "
      f"without a sign of life, {allowed:.0f} s allowed"
    )
    faulthandler.dump_traceback(2, all_threads=True)
    path = self._workdir / hangs.file_name(processes.index())
    tell = [lambda: hangs.tell(line)] if self._joined else []
    _in_time(_TELL_SECONDS, lambda: _write_stacks(path, line), *tell)
    if self._joined:
      _in_time(_COLLECT_SECONDS, lambda: self._others.look(standing))
    if leaving.in_script():
      leaving.leave(
        f"{line}. All stacks are above and in {path}; ended with status "
        f"{leaving.EXIT_AGAIN}: the same command goes on.",
        leaving.EXIT_AGAIN,
      )
    logging.error("%s. All stacks are above and in %s.", line, path)
    self._reported = standing.names


@contextlib.contextmanager
def watched(
  phases: Phases,
  *,
  deadlines: Mapping[str, float],
  workdir: str | os.PathLike[str],
) -> Iterator[None]:
  """Watches a run while the context lasts.

  Outside of scripts, in a notebook, a hang is reported and nothing is ended.

  Args:
    phases: as of `Watchdog`.
    deadlines: as of `Watchdog`.
    workdir: as of `Watchdog`.
  """
  dog = Watchdog(phases, deadlines=deadlines, workdir=workdir)
  thread = threading.Thread(target=dog.watch, name="watchdog", daemon=True)
  thread.start()
  try:
    yield
  finally:
    dog.stop(thread)


def _set_timer(seconds: float | None) -> None:
  """Has the kernel abort the process after a time; None: never.

  SIGALRM's handler is C's `abort`, at which faulthandler writes the stacks: no
  step of it needs the interpreter's lock. A process that is halted for longer
  than that is aborted when it goes on.
  """
  if seconds is None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    return
  libc = ctypes.CDLL(None)
  libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
  libc.signal.restype = ctypes.c_void_p
  faulthandler.enable()
  libc.signal(signal.SIGALRM, ctypes.cast(libc.abort, ctypes.c_void_p))
  signal.setitimer(signal.ITIMER_REAL, seconds + _SPARE_SECONDS)


def _write_stacks(path: epath.Path, line: str) -> None:
  """Writes a line and the stacks of all threads, in a run's folder."""
  if not path.parent.is_dir():
    return
  with tempfile.TemporaryFile() as file:  # The stacks need a descriptor.
    faulthandler.dump_traceback(file, all_threads=True)
    file.seek(0)
    path.write_text(f"{line}\n\n{file.read().decode(errors='replace')}")


def _in_time(seconds: float, *functions: Callable[[], None]) -> None:
  """Calls functions that may hang themselves, and waits for them a while."""
  threads = [
    threading.Thread(target=function, daemon=True) for function in functions
  ]
  for thread in threads:
    thread.start()
  until = time.monotonic() + seconds
  for thread in threads:
    thread.join(max(until - time.monotonic(), 0.0))
