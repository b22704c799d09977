"""SIGTERM and Ctrl-C: questions that the loop asks, and never exceptions.

Python's own handlers wait for the main thread, which may be compiling for
minutes, or be in a function that XLA calls, where an exception is a crash. So
a thread listens.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import jax
from absl import logging
from jax.experimental import multihost_utils

EXIT_CTRL_C = 128 + signal.SIGINT  # As shells say it.

_in_script = False  # Whether the process may be ended.


@contextlib.contextmanager
def ends_at_ctrl_c() -> Iterator[None]:
  """Lets Ctrl-C end the process at once, with one line and status 130.

  For scripts: whatever they do, and `watch` does not take over, can be begun
  anew.
  """
  global _in_script
  before, _in_script = _in_script, True
  try:
    with _listening([signal.SIGINT], lambda number: _end()):
      yield
  finally:
    _in_script = before


def mute_ctrl_c() -> None:
  """Lets Ctrl-C end the process without a word, until another takes over.

  While modules are imported, a KeyboardInterrupt is a page of traceback.
  """
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def watch() -> Iterator[Callable[[int], bool]]:
  """Yields `interrupted(step)`: has SIGTERM or Ctrl-C asked for a stop?

  A second Ctrl-C ends a script at once; outside of scripts, in a notebook, it
  is a KeyboardInterrupt. With several processes jax.distributed owns SIGTERM,
  and all processes agree on the step after which they stop; Ctrl-C at one of
  them is passed on as that.
  """
  several = jax.process_count() > 1
  received: list[int] = []

  def note(number: int):
    again = signal.SIGINT in received and number == signal.SIGINT
    received.append(number)
    if again:
      if _in_script:
        _end()
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
    if several:
      yield multihost_utils.reached_preemption_sync_point
    else:
      yield lambda step: bool(received)


def _end() -> NoReturn:
  """Ends the process from any thread, without unwinding anything."""
  sys.stderr.flush()
  os.write(2, b"stopped by Ctrl-C.\n")
  os._exit(EXIT_CTRL_C)


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
