"""The head of the page: what came of the runs, in figures and one table."""

import math
from collections.abc import Sequence

from van_jax.analysis.report import account, endings, legend, numbers, scores
from van_jax.analysis.report.markup import Markup, element, joined
from van_jax.analysis.report.runs import Run
from van_jax.analysis.report.tables import table
from van_jax.training.run.progress import format_duration


def section(runs: Sequence[Run]) -> Markup:
  """Returns the tiles, of several runs the table, and what was unreadable."""
  problems = [
    element("p", f"{run.name}: {problem}", class_="note warning")
    for run in runs
    for problem in run.problems
  ]
  tiles = _of_one(runs[0]) if len(runs) == 1 else _of_several(runs)
  return joined(
    element("dl", *(_tile(*tile) for tile in tiles), class_="tiles"),
    _table(runs) if len(runs) > 1 else None,
    *problems,
  )


def _tile(title: str, value: str, detail: str = "") -> Markup:
  return element(
    "div",
    element("dt", title),
    element("dd", value),
    element("dd", detail, class_="detail") if detail else None,
  )


def _of_one(run: Run) -> list[tuple[str, str, str]]:
  tiles = [("Stands", endings.ending(run).kind, _step(run))]
  shown = scores.names([run])
  for name in shown[:3]:
    if found := scores.score(run, name):
      tiles.append(
        (
          f"Best {_words(name)}",
          numbers.score(name, found.best),
          f"at step {found.best_step:,}; last "
          f"{numbers.score(name, found.last)}",
        )
      )
  if loss := scores.score(run, "train/loss"):
    tiles.append(
      ("Training loss", f"{loss.last:.4g}", f"at step {loss.last_step:,}")
    )
  speed = account.throughput(run)
  wait = account.data_wait(run)
  if speed is not None:
    tiles.append(("Images a second", numbers.rate(speed), "median"))
  if wait is not None:
    tiles.append(("Data wait", numbers.percent(wait), "of steps' time"))
  if shares := account.shares(run):
    tiles.append(
      (
        "Goodput",
        numbers.percent(shares["step"]),
        f"of {format_duration(account.total_seconds(run))}, in "
        f"{_count(run.account['runs'], 'process', 'processes')}",
      )
    )
  return tiles


def _of_several(runs: Sequence[Run]) -> list[tuple[str, str, str]]:
  kinds = [endings.ending(run).kind for run in runs]
  listed = ", ".join(f"{kinds.count(k)} {k}" for k in dict.fromkeys(kinds))
  tiles = [("Runs", str(len(runs)), listed)]
  for name in scores.names(runs)[:3]:
    pairs = [(scores.score(run, name), run) for run in runs]
    found = [(score.best, run) for score, run in pairs if score is not None]
    finite = [(best, run) for best, run in found if not math.isnan(best)]
    if not finite:
      continue
    low = scores.lower_is_better(finite[0][1], name)
    best, winner = (min if low else max)(finite, key=lambda pair: pair[0])
    title = f"Best {_words(name)}"
    tiles.append((title, numbers.score(name, best), winner.name))
  total = sum(map(account.total_seconds, runs))
  if total:
    tiles.append(("Time", format_duration(total), "all runs together"))
  return tiles


def _table(runs: Sequence[Run]) -> Markup:
  shown = scores.names(runs)[:2]
  titles = [_words(name) for name in shown]
  head = ["run", "stands", "step", *(f"best {title}" for title in titles)]
  head += ["training loss", "images/s", "data wait", "goodput", "time"]
  rows = []
  for number, run in enumerate(runs):
    found = [scores.score(run, name) for name in shown]
    loss = scores.score(run, "train/loss")
    wait, shares = account.data_wait(run), account.shares(run)
    rows.append(
      [
        legend.mark(number, run.name),
        endings.ending(run).kind,
        _step(run).removeprefix("step "),
        *(
          numbers.score(name, score and score.best)
          for name, score in zip(shown, found, strict=True)
        ),
        "-" if loss is None else f"{loss.last:.4g}",
        numbers.rate(account.throughput(run)),
        "-" if wait is None else numbers.percent(wait),
        numbers.percent(shares["step"]) if shares else "-",
        format_duration(account.total_seconds(run)) if shares else "-",
      ]
    )
  return table(head, rows, caption="The runs")


def _step(run: Run) -> str:
  total = run.total_steps
  return f"step {run.last_step:,}" + (f" of {total:,}" if total else "")


def _count(number: int, one: str, several: str) -> str:
  return f"{number} {one if number == 1 else several}"


def _words(name: str) -> str:
  """Returns a score's name so that it may be broken into lines."""
  return name.removeprefix("eval/").replace("_", " ")
