"""Classes: which are told apart, and which are taken for one another."""

from collections.abc import Sequence

import numpy as np

from van_jax.analysis.report import legend, numbers
from van_jax.analysis.report.examined import (
  Examined,
  class_accuracy,
  is_right,
  most_confused,
)
from van_jax.analysis.report.markup import Markup, element, joined
from van_jax.analysis.report.runs import Run
from van_jax.analysis.report.tables import table
from van_jax.evaluation import answers as answers_lib
from van_jax.evaluation.answers import Answers

_MATRIX = 20  # Classes, at most, of a matrix that one can read.
_PAIRS = 20
_LOWEST = 1000  # Classes, at most, whose accuracies are listed.


def section(runs: Sequence[Run], examined: Sequence[Examined]) -> Markup:
  """Returns the section of classes, a part for each run with answers."""
  parts = [
    _of_run(number, run, found, alone=len(runs) == 1)
    for number, (run, found) in enumerate(zip(runs, examined, strict=True))
    if found.answers is not None
  ]
  missing = [
    element("p", f"{run.name}: {found.missing}", class_="note")
    for run, found in zip(runs, examined, strict=True)
    if found.answers is None
  ]
  return joined(*parts, *_accuracies(runs, examined), *missing)


def _of_run(number: int, run: Run, found: Examined, *, alone: bool) -> Markup:
  answers = found.answers
  assert answers is not None
  labelled = int((answers.labels >= 0).sum())
  right = int(is_right(answers)[answers.labels >= 0].sum())
  share = numbers.percent(right / labelled, 2) if labelled else "-"
  draw = _matrix if len(found.names) <= _MATRIX else _pairs
  return element(
    "details",
    element("summary", legend.mark(number, f"{run.name}: {share} right")),
    element(
      "p",
      f"{right:,} of {labelled:,} images right. {found.origin}",
      class_="note",
    ),
    draw(answers, found.names),
    open=alone or number == 0,
  )


def _matrix(answers: Answers, names: Sequence[str]) -> Markup:
  """Returns the whole matrix; a cell is as dark as its share of its line."""
  matrix = answers_lib.confusion(answers, len(names))
  totals = matrix.sum(axis=1)
  rows = []
  for true, name in enumerate(names):
    cells = []
    for other, count in enumerate(matrix[true].tolist()):
      part = count / totals[true] if totals[true] else 0.0
      kind = "hit" if true == other else "miss"
      style = f"--part:{part:.3f}"
      cells.append(
        element("td", count or "", class_=f"cell {kind}", style=style)
      )
    rows.append([name, *cells])
  return table(
    ["true \\ predicted", *names],
    rows,
    caption="Confusion matrix, in images: true classes down, predicted across",
    class_="matrix",
  )


def _pairs(answers: Answers, names: Sequence[str]) -> Markup:
  """Returns the pairs of classes that are mistaken most often."""
  totals = np.bincount(answers.labels[answers.labels >= 0])
  rows = [
    [
      names[true],
      names[other],
      f"{count:,}",
      numbers.percent(count / totals[true]),
    ]
    for true, other, count in most_confused(answers, _PAIRS)
  ]
  if not rows:
    return element("p", "No class was taken for another.")
  return table(
    ["true class", "taken for", "images", "of the true class"],
    rows,
    caption=f"The {len(rows)} pairs that are mistaken most often, of "
    f"{len(names):,} classes",
  )


def _accuracies(
  runs: Sequence[Run], examined: Sequence[Examined]
) -> list[Markup]:
  """Returns a table of each class's accuracy, for runs of the same classes."""
  groups: dict[tuple[str, ...], list[tuple[int, Run, Examined]]] = {}
  for number, (run, found) in enumerate(zip(runs, examined, strict=True)):
    if found.answers is not None:
      groups.setdefault(found.names, []).append((number, run, found))
  return [_accuracy(names, group) for names, group in groups.items()]


def _accuracy(
  names: tuple[str, ...], group: Sequence[tuple[int, Run, Examined]]
) -> Markup:
  columns = [
    class_accuracy(found.answers, len(names))
    for _, _, found in group
    if found.answers is not None
  ]
  order = np.argsort(np.nan_to_num(columns[0], nan=2.0), kind="stable")
  rows = [
    [names[i], *(_share(float(column[i])) for column in columns)]
    for i in order[:_LOWEST].tolist()
  ]
  head = [legend.mark(number, run.name) for number, run, _ in group]
  return element(
    "details",
    element("summary", f"Accuracy of each of {len(names):,} classes"),
    table(
      ["class", *head],
      rows,
      caption=f"Accuracy by class, the lowest first: {len(rows):,} of them",
    ),
    open=len(names) <= _MATRIX,
  )


def _share(accuracy: float) -> str:
  return "-" if np.isnan(accuracy) else numbers.percent(accuracy)
