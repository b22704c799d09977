"""All suites' scores as one table, for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from van_jax.evaluation.imagenet import corruption, suites

_HEAD = ("suite", "top-1 %", "top-5 %", "images", "")


def render(scores: Mapping[str, Mapping[str, Any]]) -> str:
  """Returns the table, a line a suite and a line a corruption.

  Args:
    scores: by suite, as `suites.evaluate` has them before it shortens them.
  """
  rows: list[tuple[str, ...]] = [_HEAD]
  for name, of_suite in scores.items():
    rows.append(_row(name, of_suite, "; ".join(_notes(name, of_suite))))
    if "mce" in of_suite:
      rows.extend(_corruptions(of_suite))
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return "\n".join(
    "  ".join(
      [row[0].ljust(widths[0])]
      + [cell.rjust(w) for cell, w in zip(row[1:4], widths[1:4], strict=True)]
      + [row[4]]
    ).rstrip()
    for row in rows
  )


def _row(name: str, scores: Mapping[str, Any], note: str) -> tuple[str, ...]:
  percents = (f"{100 * scores[key]:.2f}" for key in ("top1", "top5"))
  return (name, *percents, str(scores.get("count", "")), note)


def _notes(name: str, scores: Mapping[str, Any]) -> Iterator[str]:
  suite = suites.SUITES[name]
  if "mce" in scores:
    yield f"mCE {100 * scores['mce']:.2f} %; means of 15 corruptions"
  if suite.num_classes < suites.NUM_CLASSES:
    yield f"among its {suite.num_classes} classes"
  if not scores["complete"]:
    yield "NOT the whole set"


def _corruptions(scores: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
  """Yields a row a corruption: means of its severities."""
  for name, top1 in scores["top1_by_severity"].items():
    means = {
      "top1": sum(top1) / len(top1),
      "top5": sum(scores["top5_by_severity"][name]) / len(top1),
    }
    note = "not in mCE"
    if name in corruption.CORRUPTIONS:
      note = f"CE {100 * scores['corruption_errors'][name]:.2f} %"
    yield _row(f"  {name}", means, note)
