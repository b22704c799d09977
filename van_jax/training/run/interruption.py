"""SIGTERM and Ctrl-C: questions that the loop asks, and never exceptions.

Python's own handlers wait for the main thread, which may be compiling for
minutes, or be in a function that XLA calls, where an exception is a crash. So
a thread listens.
"""

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence

import jax
from absl import logging
from jax.experimental import multihost_utils

from van_jax.training.run import leaving

EXIT_CTRL_C = 128 + signal.SIGINT  # As shells say it.


@contextlib.contextmanager
def ends_at_once() -> Iterator[None]:
  """Lets Ctrl-C and SIGTERM end the process at once, with one line.

  For scripts: whatever they do, and `watch` does not take over, can be begun
  anew. The status is 130 for Ctrl-C, and 75 for SIGTERM.
  """
  numbers = [signal.SIGINT, signal.SIGTERM]
  with leaving.script(), _listening(numbers, _end):
    yield


def mute_ctrl_c() -> None:
  """Lets Ctrl-C end the process without a word, until another takes over.

  While modules are imported, a KeyboardInterrupt is a page of traceback.
  """
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def end_on_sigterm() -> None:
  """Lets SIGTERM end the process with status 75, until another takes over.

  While modules are imported the system's own answer would be a status that no
  scheduler takes for one to start again.
  """
  if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
    signal.signal(signal.SIGTERM, lambda number, frame: _end(number))


@contextlib.contextmanager
def watch() -> Iterator[Callable[[], bool]]:
  """Yields `interrupted()`: has SIGTERM or Ctrl-C asked for a stop?

  A second Ctrl-C ends a script at once; outside of scripts, in a notebook, it
  is a KeyboardInterrupt. With several processes jax.distributed owns SIGTERM,
  and all processes, which ask equally often, get the same answers: yes from the
  same question on, whichever of them was told, and at what. Ctrl-C at one of
  them is passed on as that.
  """
  several = jax.process_count() > 1
  received: list[int] = []

  def note(number: int):
    again = signal.SIGINT in received and number == signal.SIGINT
    received.append(number)
    if again:
      if leaving.in_script():
        _end(number)
      return
    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    more = "; once more to stop at once" if number == signal.SIGINT else ""
    logging.warning("%s: saving after this step, then stopping%s.", name, more)
    if several:
      os.kill(os.getpid(), signal.SIGTERM)

  handled: list[int] = []

  def handle(number: int):
    handled.append(number)
    counts = handled.count(signal.SIGINT), received.count(signal.SIGINT)
    if number == signal.SIGINT and max(counts) > 1:
      raise KeyboardInterrupt

  mine = [signal.SIGINT] if several else [signal.SIGINT, signal.SIGTERM]
  with _listening(mine, note, handle):
    yield _agreed() if several else lambda: bool(received)


def _agreed() -> Callable[[], bool]:
  """Returns the question that all processes get the same answers to.

  JAX answers yes for one count alone, the next that no process has reached
  when the signal comes; a process that has not asked yet stands at 0 for it.
  Hence questions are counted, from 1: by the steps of a run that goes on, one
  before its first step would be past already, and nobody would ever stop.
  """
  counts, answered = itertools.count(1), []

  def interrupted():
    if not answered and multihost_utils.reached_preemption_sync_point(
      next(counts)
    ):
      answered.append(True)
    return bool(answered)

  return interrupted


def _end(number: int) -> None:
  """Ends the process from any thread, without unwinding anything."""
  if number == signal.SIGINT:
    leaving.leave("stopped by Ctrl-C.", EXIT_CTRL_C)
  leaving.leave(
    "stopped by SIGTERM; the same command goes on.", leaving.EXIT_AGAIN
  )


@contextlib.contextmanager
def _listening(
  numbers: Sequence[int],
  note: Callable[[int], None],
  handle: Callable[[int], None] = lambda number: None,
) -> Iterator[None]:
  """Calls `note(number)` in a thread at each of these signals.

  Those that the process was started to ignore stay ignored. Off the main
  thread, where no handler can be set, nothing is listened to.

  Args:
    numbers: of signals.
    note: told at once.
    handle: called in the main thread, when that comes to it.
  """
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  before = {n: signal.getsignal(n) for n in numbers}
  before = {n: h for n, h in before.items() if h not in (None, signal.SIG_IGN)}
  reading, writing = os.pipe()
  os.set_blocking(writing, False)  # Python insists.

  def listen():
    while received := os.read(reading, 1):
      if received[0] in before:  # Others may be caught by others.
        note(received[0])

  thread = threading.Thread(target=listen, name="signals", daemon=True)
  thread.start()
  outer = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
  for number in before:
    signal.signal(number, lambda n, frame: handle(n))
  try:
    yield
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
    signal.set_wakeup_fd(outer)
    os.close(writing)
    thread.join()
    os.close(reading)
