"""Names of a stranger's code, "module:name", and what they stand for."""

import difflib
import importlib
from collections.abc import Collection, Mapping
from typing import Any

from van_jax import errors


def is_path(name: Any) -> bool:
  """Returns whether a name is an import path, and not a row of a table."""
  return isinstance(name, str) and ":" in name


def load(path: str, field: str) -> Any:
  """Imports what "module:name" stands for.

  Args:
    path: the module as `import` takes it, a colon, and a name in it.
    field: what the path was given for, for messages: "attention.name".

  Raises:
    UserError: when it does not import, or has no such name; with the cause.
  """
  module, _, name = path.partition(":")
  try:
    return getattr(importlib.import_module(module), name)
  except Exception as error:  # A stranger's module may fail in any way.
    raise errors.UserError(
      f"{field}={path!r} cannot be imported: {type(error).__name__}: {error}; "
      "write it as MODULE:NAME, with the module's folder on PYTHONPATH."
    ) from error


def choose(name: str, table: Mapping[str, Any], field: str) -> Any:
  """Returns a table's row, or what an import path stands for.

  Raises:
    UserError: for a name that is neither, with the nearest that are known.
  """
  if is_path(name):
    return load(name, field)
  if name not in table:
    raise errors.UserError(
      f"{field}={name!r} is unknown; {nearest(name, table)}, or an import "
      "path, MODULE:NAME."
    )
  return table[name]


def nearest(name: Any, known: Collection[str]) -> str:
  """Returns the known names, the nearest first, as the end of a sentence."""
  close = difflib.get_close_matches(str(name), sorted(known), n=3, cutoff=0.4)
  others = [other for other in sorted(known) if other not in close]
  return f"there are {', '.join([*close, *others])}"
