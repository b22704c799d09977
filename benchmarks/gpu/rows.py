"""Rows: how a part of the GPU benchmark tells what it has found, at once.

A row is a line of standard output that begins with a mark; the rest of the
output is for the log.
"""

import json
from typing import Any

_MARK = "@row "


def emit(**row: Any) -> None:
  """Tells a row."""
  print(_MARK + json.dumps(row), flush=True)


def parse(line: str) -> dict[str, Any] | None:
  """Returns the row of a line; None for another line, or a damaged one."""
  if not line.startswith(_MARK):
    return None
  try:
    return json.loads(line.removeprefix(_MARK))
  except ValueError:
    return None
