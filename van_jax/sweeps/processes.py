"""A run of a sweep in a process of its own, which is told of signals.

It gets a group of its own, so that a terminal's Ctrl-C reaches it once, from
here.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

_PASSED_ON = (signal.SIGINT, signal.SIGTERM)


class Runner:
  """Runs commands one after another, until a signal comes.

  Attributes:
    stopped: the signal that came, if any; no command is started after it.
  """

  def __init__(self) -> None:
    self.stopped: int | None = None
    self._running: subprocess.Popen | None = None

  def run(self, command: Sequence[str]) -> int:
    """Runs a command to its end; what it prints goes to stderr.

    Returns:
      its exit status, as shells say it: 128 and the signal that killed it.
    """
    sys.stderr.flush()
    self._running = subprocess.Popen(
      command, stdin=subprocess.DEVNULL, stdout=2, process_group=0
    )
    if self.stopped is not None:  # While it was being started.
      self._running.send_signal(self.stopped)
    status = self._running.wait()
    self._running = None
    return 128 - status if status < 0 else status

  @contextlib.contextmanager
  def passing_on(self) -> Iterator[None]:
    """Passes SIGINT and SIGTERM on to what runs, instead of ending here."""

    def pass_on(number, frame):
      del frame
      self.stopped = number
      if self._running is not None:
        self._running.send_signal(number)
      os.write(2, b"the sweep ends with the run that is being done.\n")

    # A script's Ctrl-C is heard there, and would end this process at once.
    listening = signal.set_wakeup_fd(-1)
    before = {n: signal.signal(n, pass_on) for n in _PASSED_ON}
    try:
      yield
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)
      signal.set_wakeup_fd(listening)
