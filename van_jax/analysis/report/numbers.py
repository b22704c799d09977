"""Numbers as the page writes them."""

import datetime
import math
from typing import Any

_FRACTIONS = ("top1", "top5", "mean_per_class_accuracy", "data_wait")


def is_fraction(name: str) -> bool:
  """Returns whether a metric is written in percent.

  Args:
    name: of the metric, with or without "eval/" or the like before it.
  """
  return name.rpartition("/")[2] in _FRACTIONS


def score(name: str, value: float | None) -> str:
  """Returns a score: of accuracies percent, of all others five digits.

  Args:
    name: of the score, with or without "eval/" or "train/" before it.
    value: None for a dash.
  """
  if value is None:
    return "-"
  if is_fraction(name) and math.isfinite(value):
    return percent(value, 2)
  return f"{value:.5g}"


def percent(fraction: float, digits: int = 1) -> str:
  """Returns 12.3 %."""
  return f"{100 * fraction:.{digits}f} %"


def rate(value: float | None) -> str:
  """Returns images a second; a dash for None."""
  if value is None:
    return "-"
  return f"{value:,.0f}" if value >= 1e4 else f"{value:.4g}"


def moment(seconds: Any) -> str:
  """Returns a time since 1970 in UTC, to the minute; a dash for no time."""
  try:
    when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
  except (TypeError, ValueError, OverflowError, OSError):
    return "-"
  return when.strftime("%Y-%m-%d %H:%M UTC")
