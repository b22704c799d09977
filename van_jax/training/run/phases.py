"""What a run is doing: named phases, one within another, and their time.

One set of phases serves all who ask where time goes: the log (`progress`), the
account of the whole run (`goodput`) and the watch over hangs (`watchdog`).
"""

import collections
import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

START_UP = "start-up"
RESTORE = "restore"
COMPILE = "compile"
STEP = "step"
DATA = "data"  # Waiting for a batch.
SAVE = "save"
EVALUATION = "evaluation"
EXPORT = "export"
NAMES = (START_UP, RESTORE, COMPILE, STEP, DATA, SAVE, EVALUATION, EXPORT)


class Standing(NamedTuple):
  """Where a run stands.

  Attributes:
    names: of the phases that it is in, the outermost first.
    seconds: that the innermost has taken since it began or gave its last sign
      of life, phases within it left out.
    fastest_step: seconds of the fastest step so far, with its wait for data; 0
      before there is one.
  """

  names: tuple[str, ...]
  seconds: float
  fastest_step: float


@dataclasses.dataclass
class _Entered:
  """A phase that has begun, and its seconds since its last sign of life."""

  name: str
  seconds: float = 0.0


class Phases:
  """Counts the seconds of each phase; those within a phase are not its own.

  One thread enters and leaves; any may look, or give signs of life.
  """

  def __init__(self, clock: Callable[[], float] = time.monotonic):
    """Begins with the start-up, which all else is within.

    Args:
      clock: returns seconds; never goes back.
    """
    self._clock = clock
    self._lock = threading.Lock()
    self._seconds = collections.defaultdict[str, float](float)
    self._stack = [_Entered(START_UP)]
    self._since = clock()
    self._stepped_at = 0.0  # Seconds of steps and data at the last one.
    self._fastest_step = 0.0

  @contextlib.contextmanager
  def phase(self, name: str) -> Iterator[None]:
    """Counts the time within as a phase's."""
    with self._lock:
      self._settle()
      self._stack.append(_Entered(name))
    try:
      yield
    finally:
      with self._lock:
        self._settle()
        self._stack.pop()

  def now(self) -> float:
    """Returns seconds; only differences mean something."""
    return self._clock()

  def beat(self, name: str) -> None:
    """Gives a sign of life: a step, or a part of a phase, has finished."""
    with self._lock:
      self._settle()
      for entered in reversed(self._stack):
        if entered.name == name:
          entered.seconds = 0.0
          break
      if name == STEP:
        self._note_step()

  def move(self, name: str, other: str, seconds: float) -> None:
    """Counts some seconds of a phase as another's, in hindsight."""
    with self._lock:
      self._settle()
      self._seconds[name] -= seconds
      self._seconds[other] += seconds

  def forgive(self, seconds: float) -> None:
    """Takes time in which the whole process was halted for no hang."""
    with self._lock:
      self._settle()
      self._stack[-1].seconds = max(self._stack[-1].seconds - seconds, 0.0)

  def seconds(self) -> dict[str, float]:
    """Returns what each phase has taken so far; they add up to all."""
    with self._lock:
      self._settle()
      return dict(self._seconds)

  def standing(self) -> Standing:
    """Returns where the run stands now."""
    with self._lock:
      self._settle()
      names = tuple(entered.name for entered in self._stack)
      return Standing(names, self._stack[-1].seconds, self._fastest_step)

  def _settle(self) -> None:
    now = self._clock()
    self._stack[-1].seconds += now - self._since
    self._seconds[self._stack[-1].name] += now - self._since
    self._since = now

  def _note_step(self) -> None:
    so_far = self._seconds[STEP] + self._seconds[DATA]
    took, self._stepped_at = so_far - self._stepped_at, so_far
    if took > 0:
      self._fastest_step = min(self._fastest_step or took, took)
