"""Where the runs' time went: goodput, restarts, throughput, wait for data."""

from collections.abc import Mapping, Sequence

import numpy as np

from van_jax.analysis.report import curves, legend, numbers
from van_jax.analysis.report.markup import Markup, element, joined
from van_jax.analysis.report.runs import Run
from van_jax.analysis.report.tables import table
from van_jax.training.run import goodput, phases
from van_jax.training.run.progress import format_duration

_PARTS = (
  phases.STEP,
  phases.DATA,
  phases.COMPILE,
  phases.EVALUATION,
  phases.SAVE,
  phases.START_UP,
  phases.RESTORE,
  phases.EXPORT,
  goodput.RESTART,
)


def throughput(run: Run) -> float | None:
  """Returns the median of a run's images a second; None without any."""
  return _middle(run, "progress/images_per_second")


def data_wait(run: Run) -> float | None:
  """Returns the mean share of time without data; None without any."""
  series = run.history.get("progress/data_wait")
  if series is None or not np.isfinite(series.values).any():
    return None
  return float(series.values[np.isfinite(series.values)].mean())


def total_seconds(run: Run) -> float:
  """Returns the seconds since a run began, dead time between processes too."""
  return sum(run.account["seconds"].values())


def shares(run: Run) -> Mapping[str, float]:
  """Returns the share of all time by phase; {} where none is known."""
  total = total_seconds(run)
  if not total > 0:
    return {}
  seconds = run.account["seconds"]
  return {name: seconds.get(name, 0.0) / total for name in _PARTS}


def section(runs: Sequence[Run]) -> Markup:
  """Returns the section of time."""
  drawn = [curves.chart(runs, *item) for item in curves.SPEED.items()]
  known = [(i, run) for i, run in enumerate(runs) if shares(run)]
  charts = curves.grid(drawn) if any(drawn) else None
  if not known:
    return joined(
      charts, element("p", "No run has kept an account of its time.")
    )
  head = ["run", "all", "processes", "steps done twice", *_PARTS]
  rows = [
    [
      legend.mark(number, run.name),
      format_duration(total_seconds(run)),
      run.account["runs"],
      f"{run.account['steps_recomputed']:,}",
      *(numbers.percent(share) for share in shares(run).values()),
    ]
    for number, run in known
  ]
  return joined(
    charts,
    *(_bar(run) for _, run in known),
    _key(),
    table(head, rows, caption="Share of all time since the run began"),
    element(
      "p",
      "The share of steps is the goodput. Restart: dead time between two "
      "processes, and steps done twice.",
      class_="note",
    ),
  )


def _bar(run: Run) -> Markup:
  """Returns a run's time as a bar; the table says the same."""
  parts = [
    element(
      "span",
      class_=f"part part{i}",
      style=f"width:{100 * share:.3f}%",
      title=f"{name}: {numbers.percent(share)}",
    )
    for i, (name, share) in enumerate(shares(run).items())
    if share > 0
  ]
  return element(
    "div",
    element("span", run.name, class_="bar-name"),
    element("div", *parts, class_="bar"),
    class_="bar-line",
    aria_hidden="true",
  )


def _key() -> Markup:
  items = [
    element("li", element("span", class_=f"part part{i}"), name)
    for i, name in enumerate(_PARTS)
  ]
  return element("ul", *items, class_="key", aria_hidden="true")


def _middle(run: Run, name: str) -> float | None:
  series = run.history.get(name)
  if series is None or not np.isfinite(series.values).any():
    return None
  return float(np.median(series.values[np.isfinite(series.values)]))
