"""Scores of runs that differ in their seeds alone: mean, spread, a table."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Seeds(NamedTuple):
  """One score of such runs.

  Attributes:
    scores: of those that are finished.
    count: of all.
  """

  scores: Sequence[float]
  count: int

  @property
  def mean(self) -> float | None:
    """Of the scores; None without any."""
    return statistics.fmean(self.scores) if self.scores else None

  @property
  def spread(self) -> float | None:
    """Standard deviation of the scores (n - 1); None of less than two."""
    return statistics.stdev(self.scores) if len(self.scores) > 1 else None

  @property
  def finished(self) -> str:
    """Says how many are finished, "2 of 3"."""
    return f"{len(self.scores)} of {self.count}"


def number(value: float | None) -> str:
  """Returns a number as a table has it; a dash where there is none."""
  return "-" if value is None else f"{value:.5g}"


def markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
  """Returns the lines of a table in Markdown."""
  table = [titles, ["---"] * len(titles), *rows]
  return [f"| {' | '.join(row)} |" for row in table]
