"""The scores of the runs: their best, their last, and where."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from van_jax.analysis.report import legend, numbers
from van_jax.analysis.report.markup import Markup, element, joined
from van_jax.analysis.report.runs import Run
from van_jax.analysis.report.tables import table

_PREFIX = "eval/"
_NO_SCORE = ("eval/count",)  # How many images there were.
_HEAD = ["best", "at step", "last", "at step"]
_BETTER_LOW = ("loss", "error", "perplexity")


class Score(NamedTuple):
  """A metric's best and last value over a run, and their steps."""

  best: float
  best_step: int
  last: float
  last_step: int


def names(runs: Sequence[Run]) -> list[str]:
  """Returns the scores that any run has, the task's own first."""
  found = {name for run in runs for name in run.history}
  found = {n for n in found if n.startswith(_PREFIX) and n not in _NO_SCORE}
  first = {f"{_PREFIX}{run.best}" for run in runs}
  return sorted(found, key=lambda name: (name not in first, name))


def score(run: Run, name: str) -> Score | None:
  """Returns a run's best and last value of a metric; None without any.

  The first of equally good ones is the best; NaN is never.
  """
  series = run.history.get(name)
  if series is None or not len(series.steps):
    return None
  sign = -1 if lower_is_better(run, name) else 1
  rank = np.where(np.isnan(series.values), -np.inf, sign * series.values)
  at = int(rank.argmax())
  return Score(
    best=float(series.values[at]),
    best_step=int(series.steps[at]),
    last=float(series.values[-1]),
    last_step=int(series.steps[-1]),
  )


def lower_is_better(run: Run, name: str) -> bool:
  """Returns whether a metric is better the lower it is."""
  if name == f"{_PREFIX}{run.best}":
    return run.best_mode == "min"
  return any(word in name for word in _BETTER_LOW)


def section(runs: Sequence[Run]) -> Markup:
  """Returns the section of scores."""
  shown = names(runs)
  if not shown:
    return element("p", "No run has been evaluated yet.")
  if len(runs) == 1:
    rows = [
      [name.removeprefix(_PREFIX), *_cells(runs[0], name)] for name in shown
    ]
    return table(["score", *_HEAD], rows, caption="Scores of the evaluations")
  return joined(*(_table(runs, name) for name in shown))


def _table(runs: Sequence[Run], name: str) -> Markup:
  rows = [
    [legend.mark(number, run.name), *_cells(run, name)]
    for number, run in enumerate(runs)
  ]
  ways = {lower_is_better(run, name) for run in runs}
  way = "lower is better" if ways == {True} else "higher is better"
  title = name.removeprefix(_PREFIX)
  return table(["run", *_HEAD], rows, caption=f"{title} ({way})")


def _cells(run: Run, name: str) -> list[str]:
  found = score(run, name)
  if found is None:
    return ["-"] * len(_HEAD)
  return [
    numbers.score(name, found.best),
    f"{found.best_step:,}",
    numbers.score(name, found.last),
    f"{found.last_step:,}",
  ]
