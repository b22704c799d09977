"""How far a download is, on stderr: a moving line, or a line now and then."""

import sys
import time

_TERMINAL_SECONDS = 0.2
_LOG_SECONDS = 10.0


class Progress:
  """Tells how far one download is."""

  def __init__(self, name: str, *, done: int, total: int | None):
    """Says what begins.

    Args:
      name: of the file.
      done: bytes that are there already.
      total: bytes in the end, where that is known.
    """
    self._name, self._total = name, total
    self._first, self._start = done, time.monotonic()
    self._terminal = sys.stderr.isatty()
    self._said = -float("inf") if self._terminal else self._start
    self.update(done)

  def update(self, done: int) -> None:
    """Tells of `done` bytes, unless it has just told."""
    now = time.monotonic()
    wait = _TERMINAL_SECONDS if self._terminal else _LOG_SECONDS
    if now - self._said >= wait:
      self._said = now
      self._write(done, end="" if self._terminal else "\n")

  def close(self, done: int) -> None:
    """Tells how it ended, and leaves the line."""
    self._write(done, end="\n")

  def _write(self, done: int, end: str) -> None:
    megabytes = f"{done / 1e6:.1f}"
    if self._total:
      share = f" ({done * 100 // self._total} %)"
      megabytes = f"{megabytes} of {self._total / 1e6:.1f} MB{share}"
    else:
      megabytes = f"{megabytes} MB"
    seconds = max(time.monotonic() - self._start, 1e-3)
    speed = (done - self._first) / 1e6 / seconds
    before, after = ("\r", "\033[K") if self._terminal else ("", "")
    print(
      f"{before}{self._name}: {megabytes}, {speed:.1f} MB/s{after}",
      end=end,
      file=sys.stderr,
      flush=True,
    )
