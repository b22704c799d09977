"""Parts of a file as a message may show them: short, and printable."""

from collections.abc import Iterable
from typing import Any

LENGTH = 100  # Characters of one part; names of weights have at most 80.


def excerpt(value: Any, length: int = LENGTH) -> str:
  """Returns a part of a file for a message.

  Text and numbers are shown, of all else the type alone: what strangers nest
  can take for ever to print.
  """
  if isinstance(value, str):
    shown = value[: length + 1]
  elif isinstance(value, bool | int | float | None):
    shown = repr(value) if not isinstance(value, int) or abs(
      value
    ) < 1 << 200 else "a huge number"
  else:
    return f"a {type(value).__name__}"
  if not shown.isprintable():
    shown = shown.encode("unicode_escape", "backslashreplace").decode("ascii")
  return shown if len(shown) <= length else f"{shown[:length]}..."


def listed(values: Iterable[Any], count: int = 5) -> str:
  """Returns the first of some parts, separated by commas."""
  values = list(values)
  shown = ", ".join(map(excerpt, values[:count]))
  return f"{shown}, ..." if len(values) > count else shown or "none"
