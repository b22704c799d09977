"""Where a run's time goes, across restarts: the share that trained.

Kept in the workdir beside the metrics, since a run that goes on drops what it
had measured beyond its checkpoint, and that is what a restart costs. Within a
process time is monotonic. Between two it is the wall clock's, and a clock that
was set back counts as no time.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
from absl import logging

from van_jax import errors, storage
from van_jax.training.run import phases as phases_lib
from van_jax.training.run.progress import format_duration

NAME = "goodput.json"
RESTART = "restart"  # Dead time between two processes, and steps done twice.
_SHARES = (*phases_lib.NAMES, RESTART)
_SAVES = 64  # The last ones, whose steps' seconds are kept.


class Goodput:
  """Accounts for a run's time; the first of several processes writes."""

  def __init__(
    self,
    workdir: str | os.PathLike[str],
    phases: phases_lib.Phases,
    *,
    first_step: int,
    wall: Callable[[], float] = time.time,
  ):
    """Takes up the account of the processes before this one.

    Args:
      workdir: the run's folder, claimed.
      phases: of this process.
      first_step: of the state that it goes on from.
      wall: returns seconds since 1970, by a clock that may be set.
    """
    self._path = storage.absolute(workdir) / NAME
    self._phases = phases
    self._wall = wall
    self._step = first_step
    before = read(self._path.parent)
    self._before: dict[str, float] = {
      name: before["seconds"].get(name, 0.0) for name in _SHARES
    }
    self._runs = before["runs"] + 1
    self._recomputed = before["steps_recomputed"]
    # Seconds of all steps before a save, by its step.
    self._saved: dict[int, float] = {
      step: seconds
      for step, seconds in before["saved"].items()
      if step <= first_step
    }
    if before["runs"]:
      self._take_up(before, first_step)
    self.note(first_step)

  def _take_up(self, before: Mapping[str, Any], first_step: int) -> None:
    """Counts what it cost to begin again."""
    # This process has been there for a while.
    here = sum(self._phases.seconds().values())
    dead = max(self._wall() - before["written"] - here, 0.0)
    self._before[RESTART] += dead
    twice = max(before["step"] - first_step, 0)
    kept = self._saved.get(first_step, 0.0)
    if first_step and not kept:  # No save of it is known; in proportion.
      kept = self._before[phases_lib.STEP] * first_step / max(before["step"], 1)
    lost = max(self._before[phases_lib.STEP] - kept, 0.0) if twice else 0.0
    self._before[phases_lib.STEP] -= lost
    self._before[RESTART] += lost
    self._recomputed += twice

  def note(self, step: int, *, saved: bool = False) -> None:
    """Keeps the account so far, for whatever comes.

    Args:
      step: that is done.
      saved: whether its state is being saved.
    """
    self._step = step
    if saved:
      self._saved[step] = self.seconds()[phases_lib.STEP]
      for old in sorted(self._saved)[:-_SAVES]:
        del self._saved[old]
    if jax.process_index() > 0:
      return
    account = {
      "runs": self._runs,
      "steps_recomputed": self._recomputed,
      "step": step,
      "written": self._wall(),
      "seconds": self.seconds(),
      "saved": self._saved,
    }
    try:
      if not self._path.parent.is_dir():
        return  # Somebody has removed the run; it is not made anew.
      with storage.replacing(self._path) as draft:
        draft.write_text(json.dumps(account, indent=1) + "\n")
    except (OSError, errors.UserError) as error:  # No reason to stop a run.
      logging.warning("%s cannot be written: %s.", self._path, error)

  def seconds(self) -> dict[str, float]:
    """Returns the seconds so far, by phase and for restarts."""
    here = self._phases.seconds()
    return {name: self._before[name] + here.get(name, 0.0) for name in _SHARES}

  def report(self, step: int) -> dict[str, float]:
    """Returns the shares of all time since the run began, and keeps them.

    Args:
      step: that is done.

    Returns:
      `goodput/PHASE` of each phase and of restarts, fractions that add up to 1;
      goodput/seconds, goodput/runs and goodput/steps_recomputed.
    """
    self.note(step)
    seconds = self.seconds()
    total = sum(seconds.values())
    shares = {
      f"goodput/{name.replace('-', '_')}": value / max(total, 1e-9)
      for name, value in seconds.items()
    }
    return {
      **shares,
      "goodput/seconds": total,
      "goodput/runs": float(self._runs),
      "goodput/steps_recomputed": float(self._recomputed),
    }

  def log(self) -> None:
    """Says in a line where the time went."""
    self.note(self._step)
    seconds = self.seconds()
    total = max(sum(seconds.values()), 1e-9)
    rest = sorted(seconds, key=lambda name: -seconds[name])
    listed = [
      f"{name} {100 * seconds[name] / total:.1f} %"
      for name in rest
      if name != phases_lib.STEP and seconds[name] >= 0.0005 * total
    ]
    logging.info(
      "Goodput: %.1f %% of %s in steps; %s. %d runs, %d steps done twice.",
      100 * seconds[phases_lib.STEP] / total,
      format_duration(total),
      ", ".join(listed),
      self._runs,
      self._recomputed,
    )


def read(workdir: str | os.PathLike[str]) -> dict[str, Any]:
  """Returns the account so far, one of nothing where there is none.

  Args:
    workdir: the run's folder.

  Returns:
    runs (processes so far), steps_recomputed, step and written (the last entry:
    steps done, seconds since 1970), seconds (by phase, and for restarts), saved
    (seconds of all steps before a save, by its step).
  """
  path = storage.absolute(workdir) / NAME
  account: dict[str, Any] = {"runs": 0, "steps_recomputed": 0}
  account |= {"step": 0, "written": 0.0, "seconds": {}, "saved": {}}
  with contextlib.suppress(
    OSError, ValueError, TypeError, AttributeError, KeyError
  ):  # Damaged: begun anew.
    found = json.loads(path.read_text())
    numbers = {
      name: type(account[name])(found[name])
      for name in ("runs", "steps_recomputed", "step", "written")
    }
    seconds = {k: float(v) for k, v in found["seconds"].items()}
    saved = {int(k): float(v) for k, v in found["saved"].items()}
    account |= {**numbers, "seconds": seconds, "saved": saved}
  return account
