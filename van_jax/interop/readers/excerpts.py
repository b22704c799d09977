"""Parts of a file as a message may show them: short, and printable."""

from collections.abc import Iterable
from typing import Any

_LONG = 1 << 200
LENGTH = 100  # Characters of one part; names of weights have at most 80.


def excerpt(value: Any, length: int = LENGTH) -> str:
  """Returns a part of a file for a message.

  Text and numbers are shown, of all else the type alone: what strangers nest
  can take for ever to print.
  """
  if isinstance(value, str):
    shown = value[: length + 1]
  elif isinstance(value, int) and abs(value) >= _LONG:
    shown = "a huge number"
  elif value is None or isinstance(value, bool | int | float):
    shown = repr(value)
  else:
    return kind(value)
  if not shown.isprintable():
    shown = shown.encode("unicode_escape").decode("ascii")
  return shown if len(shown) <= length else f"{shown[:length]}..."


def kind(value: Any) -> str:
  """Returns what a part of a file is, such as "a list"."""
  name = type(value).__name__.lstrip("_")
  return f"a{'n' * (name[0] in 'aeiouAEIOU')} {name}"


def listed(values: Iterable[Any], count: int = 5) -> str:
  """Returns the first of some parts, separated by commas."""
  values = list(values)
  shown = ", ".join(map(excerpt, values[:count]))
  return f"{shown}, ..." if len(values) > count else shown or "none"
