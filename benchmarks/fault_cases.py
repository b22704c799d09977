"""The cases of a fault drill: when a run is killed, by what, which process."""

import itertools
import pathlib
import random
from collections.abc import Iterable, Mapping
from typing import Any

# Where a kill comes: what must have been logged, and the most seconds after.
MOMENTS = {
  "start-up": (r"", 12.0),
  "compile": (r"Compiling the training step", 4.0),
  "step": (r"step \d+/", 0.3),
  "save": (r"step [248]/|step 10/", 0.2),
  "evaluation": (r"step (6|12)/", 3.0),
  "export": (r"step 12/12", 3.0),
}

Case = tuple[str, str, int | None]  # Moment, signal, whom; None for all.
# By number of processes: what a drill of few kills must not miss.
FIRST: dict[int, set[Case]] = {
  1: {
    (moment, name, None)
    for moment in ("save", "evaluation")
    for name in ("TERM", "KILL")
  },
  2: {
    *itertools.product(("step", "evaluation"), ("KILL", "STOP"), (0, 1)),
    *itertools.product(("save", "evaluation"), ("TERM",), (0, 1, None)),
    *itertools.product(("save",), ("KILL",), (0, 1)),
  },
}


def shuffled(count: int, draw: random.Random) -> list[Case]:
  """Returns all cases of so many processes, those of FIRST first."""
  whom = [None] if count == 1 else [*range(count), None]
  cases = list(itertools.product(MOMENTS, ("TERM", "KILL", "STOP"), whom))
  draw.shuffle(cases)
  return sorted(cases, key=lambda case: case not in FIRST[count])


def is_in(moment: str, log: str, workdir: pathlib.Path) -> bool:
  """Returns whether a run is in a save, or an evaluation; True of others.

  Args:
    moment: of MOMENTS.
    log: what the first process has said so far.
    workdir: the run's.
  """
  if moment == "save":
    folder = workdir / "checkpoints"
    return any(folder.glob("*.orbax-checkpoint-tmp*"))
  if moment == "evaluation":
    begun = max(log.rfind("step 6/12"), log.rfind("step 12/12"))
    return begun > max(log.rfind("eval/"), log.rfind("step 7/12"))
  return True


def untried(kills: Iterable[Mapping[str, Any]]) -> list[str]:
  """Returns those of FIRST that no kill has met."""
  tried = {
    (kill["processes"], kill["moment"], kill["signal"], kill["whom"])
    for kill in kills
    if kill["met"]
  }
  return sorted(
    f"{name} to {'all' if whom is None else whom} of {count} in {moment}"
    for count, cases in FIRST.items()
    for moment, name, whom in cases
    if (count, moment, name, "all" if whom is None else whom) not in tried
  )
