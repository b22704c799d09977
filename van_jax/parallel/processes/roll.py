"""The roll of a start: who is there, and how the call has ended.

Threads, one a line, write it; process 0's main thread reads it.
"""

import contextlib
import dataclasses
import json
import threading

from van_jax import errors


@dataclasses.dataclass
class Caller:
  """Who is on a line, as it says."""

  index: int
  count: int
  host: str


def caller_in(said: bytes) -> Caller | None:
  """Returns who says so; None of a stranger, or a probe of the port."""
  with contextlib.suppress(ValueError, TypeError, RecursionError):
    found = Caller(**json.loads(said))
    kinds = (type(found.index), type(found.count), type(found.host))
    if kinds == (int, int, str) and 0 <= found.index < found.count:
      return found
  return None


class Roll:
  """Who is there, as the threads that listen to them have heard.

  Attributes:
    ended: is set when nobody is waited for any more.
    failure: why nobody goes on; None where all do.
  """

  def __init__(self, count: int):
    """Begins with nobody there but process 0, of so many."""
    self._lock = threading.Lock()
    self._there: dict[int, Caller] = {}
    self._count = count
    self.ended = threading.Event()
    self.failure: errors.UserError | None = None

  def come(self, caller: Caller) -> errors.UserError | None:
    """Notes who has come; returns why it may not."""
    with self._lock:
      other = self._there.get(caller.index)
      if caller.index == 0 or other is not None:
        where = "process 0's own host" if other is None else other.host
        return errors.UserError(
          f"process_id={caller.index} was given to two processes, on {where} "
          f"and on {caller.host}; give each its own."
        )
      self._there[caller.index] = caller
    return None

  def go(self, caller: Caller) -> None:
    """Forgets one that has hung up."""
    with self._lock:
      if self._there.get(caller.index) is caller:
        del self._there[caller.index]

  def absent(self) -> list[int]:
    """Returns who has not come."""
    with self._lock:
      return sorted(set(range(1, self._count)) - self._there.keys())

  def listeners(self) -> bool:
    """Returns whether somebody is still on a line."""
    with self._lock:
      return bool(self._there)

  def told_otherwise(self) -> bool:
    """Ends the call when somebody has another number of processes."""
    with self._lock:
      others = [c for c in self._there.values() if c.count != self._count]
    if others:
      other = min(others, key=lambda c: c.index)
      self.end(
        errors.UserError(
          f"num_processes is {self._count} for process 0, and {other.count} "
          f"for process {other.index} on {other.host}; start the same command "
          "on all hosts."
        )
      )
    return bool(others)

  def end(self, failure: errors.UserError | None) -> None:
    """Lets everybody hear how it ended; the first word counts."""
    if not self.ended.is_set():
      self.failure = failure
      self.ended.set()
