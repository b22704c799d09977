"""Fault drill: runs that are killed again and again end as if they never were.

  python benchmarks/fault_drill.py --kills=60 --folder=/tmp/drill

Trains a tiny config in one process and in two, first unbroken, then with kills
at random moments: TERM, KILL or STOP, to one or to all processes, during
start-up, steps, saves, evaluation and export, each of these cases once before
any comes again, and those of `fault_cases.FIRST` first. After each, the same
command is given again, as a scheduler would. Whoever is left must end by itself
within the deadlines of the config; what was stopped is killed then. At the end
of each run its scores, the checksums of its last state and its metrics, but for
timing, must be the unbroken run's, bit for bit. Prints JSON; its exit status is
1 where something differs or has waited too long.

The kills of a seed are the same; the moments that they meet are the machine's.
"""

import collections
import dataclasses
import itertools
import json
import pathlib
import random
import re
import shutil
import signal
import sys
import time
from typing import Any

import fault_attempts
import fault_cases
from absl import app, flags, logging

_CONFIG = flags.DEFINE_string(
  "config",
  str(fault_attempts.ROOT / "tests/experiment/tiny.py"),
  "What is trained.",
)
_KILLS = flags.DEFINE_integer("kills", 60, "How many.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the kills.")
_FOLDER = flags.DEFINE_string("folder", "/tmp/fault_drill", "Emptied first.")
_MINUTES = flags.DEFINE_float("minutes", 1e9, "No kill after so many.")

# The longest: JAX's heartbeat, or a phase's deadline and what it takes to say
# so. A start-up's is the sum of two.
_PATIENCE = 90 + 60 + 30
_LONGEST = 1800.0  # That a run to its end may take on a busy machine.
# By which what was killed or left alone may end: SIGABRT is JAX's, where the
# process of its coordinator is gone; SIGTERM comes before the first imports.
_STATUSES = {0, 75, -signal.SIGABRT, -signal.SIGKILL, -signal.SIGTERM}
_HITTING = 3.0  # Seconds more that a save or an evaluation is waited for.


@dataclasses.dataclass
class Tally:
  """What was done, and what came of it."""

  kills: list[dict[str, Any]] = dataclasses.field(default_factory=list)
  runs: int = 0
  equal: int = 0
  steps_recomputed: int = 0
  faults: list[str] = dataclasses.field(default_factory=list)
  decks: dict[int, list[fault_cases.Case]] = dataclasses.field(
    default_factory=dict
  )


def main(_) -> None:
  """Drills, and prints what came of it."""
  logging.set_verbosity(logging.INFO)
  folder = pathlib.Path(_FOLDER.value).absolute()
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  tally = drill(folder, kills=_KILLS.value, seed=_SEED.value)
  print(json.dumps(summary(tally), indent=1))
  sys.exit(bool(tally.faults))


def drill(folder: pathlib.Path, *, kills: int, seed: int) -> Tally:
  """Returns what came of so many kills, over as many runs as they take."""
  draw, tally = random.Random(seed), Tally()
  expected = {}
  for count in (1, 2):
    attempt = fault_attempts.Attempt(
      _CONFIG.value, folder / f"unbroken-{count}", count, 0
    )
    with fault_attempts.killed_at_last(attempt):
      attempt.await_all(_LONGEST)
    if attempt.result() is None:
      raise RuntimeError(f"{attempt.logs[0]}: the unbroken run failed")
    expected[count] = fault_attempts.outcome(attempt)
  until = time.monotonic() + 60 * _MINUTES.value
  while len(tally.kills) < kills and time.monotonic() < until:
    if tally.faults:
      break
    count = 1 + tally.runs % 2
    _broken_run(folder, count, draw, tally, kills, until, expected[count])
    tally.runs += 1
  return tally


def _broken_run(
  folder: pathlib.Path,
  count: int,
  draw: random.Random,
  tally: Tally,
  kills: int,
  until: float,
  expected: dict[str, Any],
) -> None:
  """Kills one run again and again until it has ended, and compares it."""
  workdir = folder / f"run-{tally.runs}"
  for number in itertools.count():
    attempt, kill = (
      fault_attempts.Attempt(_CONFIG.value, workdir, count, number),
      None,
    )
    with fault_attempts.killed_at_last(attempt):
      if len(tally.kills) < kills and time.monotonic() < until:
        kill = _kill_at_a_moment(attempt, draw, tally)
      # One that nobody kills trains to its end.
      if not attempt.await_all(_LONGEST if kill is None else 0):
        tally.faults.append(f"{attempt.logs[0]}: does not end")
    for process, log in zip(attempt.processes, attempt.logs, strict=True):
      if process.returncode not in (_STATUSES if kill else {0}):
        tally.faults.append(f"{log}: status {process.returncode}")
    if tally.faults:
      return
    if attempt.result() is not None:
      break
  if (found := fault_attempts.outcome(attempt)) != expected:
    names = [name for name in expected if found[name] != expected[name]]
    tally.faults.append(f"{workdir}: other {', '.join(names)}")
    return
  tally.equal += 1
  account = json.loads((workdir / "goodput.json").read_text())
  tally.steps_recomputed += account["steps_recomputed"]


def _kill_at_a_moment(
  attempt: fault_attempts.Attempt, draw: random.Random, tally: Tally
) -> dict[str, Any] | None:
  """Sends a signal at a random moment, and waits for what comes of it.

  A case whose moment has passed, or never comes, is tried again later.

  Returns:
    What was done and how it ended; None where the run ended before.
  """
  count = len(attempt.processes)
  deck = tally.decks.setdefault(count, [])
  if not deck:
    deck += fault_cases.shuffled(count, draw)
  case = deck.pop(0)
  kill = _kill(attempt, case, draw, tally)
  if kill is None or not kill["met"]:
    deck.insert(min(3, len(deck)), case)
  return kill


def _kill(
  attempt: fault_attempts.Attempt,
  case: fault_cases.Case,
  draw: random.Random,
  tally: Tally,
) -> dict[str, Any] | None:
  """Does what a case says; see `_kill_at_a_moment`."""
  moment, name, whom = case
  pattern, most = fault_cases.MOMENTS[moment]
  delay = draw.uniform(0, most)
  matches = draw.randrange(1, 8) if moment == "step" else 1
  while not attempt.ended():
    if time.monotonic() - attempt.began > _LONGEST:
      return None
    if len(re.findall(pattern, attempt.log())) >= matches:
      break
    time.sleep(0.02)
  time.sleep(delay)
  until = time.monotonic() + _HITTING
  while (
    not fault_cases.is_in(moment, attempt.log(), attempt.workdir)
    and time.monotonic() < until
  ):
    time.sleep(0.005)
  if attempt.ended():
    return None
  is_met = fault_cases.is_in(moment, attempt.log(), attempt.workdir)
  numbers = range(len(attempt.processes))
  victims = list(numbers) if whom is None else [whom]
  sent = time.monotonic()
  for i in victims:
    attempt.processes[i].send_signal(getattr(signal, f"SIG{name}"))
  # What is stopped ends nothing; whoever is left has to, without it.
  others = [i for i in numbers if name != "STOP" or i not in victims]
  is_in_time = attempt.await_all(_PATIENCE, others)
  seconds = time.monotonic() - sent
  if name == "STOP":
    time.sleep(0 if others else 1)
    for i in victims:
      attempt.processes[i].kill()
      attempt.processes[i].wait()
  kill = {
    "processes": len(attempt.processes),
    "moment": moment,
    "signal": name,
    "whom": "all" if whom is None else whom,
    "met": is_met,
    "seconds": round(seconds, 1),
    "statuses": [process.poll() for process in attempt.processes],
  }
  tally.kills.append(kill)
  logging.info("%d: %s", len(tally.kills), kill)
  if not is_in_time:
    tally.faults.append(f"{attempt.logs[0]}: waits over {_PATIENCE} s")
  return kill


def summary(tally: Tally) -> dict[str, Any]:
  """Returns the figures."""

  def counted(key):
    return dict(collections.Counter(str(kill[key]) for kill in tally.kills))

  return {
    "kills_survived": len(tally.kills),
    "untried_of_the_first": fault_cases.untried(tally.kills),
    "runs": tally.runs,
    "runs_ended_as_unbroken": tally.equal,
    "steps_recomputed": tally.steps_recomputed,
    "by_signal": counted("signal"),
    "by_moment": counted("moment"),
    "by_processes": counted("processes"),
    "statuses": dict(
      collections.Counter(
        str(status) for kill in tally.kills for status in kill["statuses"]
      )
    ),
    "longest_wait_seconds": max(
      (kill["seconds"] for kill in tally.kills), default=0
    ),
    "faults": tally.faults,
  }


if __name__ == "__main__":
  app.run(main)
