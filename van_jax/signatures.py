"""The rule that the options of a table's row are its function's arguments."""

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any


def check(
  function: Callable[..., Any],
  options: Mapping[str, Any],
  field: str,
  *,
  given: Collection[str] = (),
) -> None:
  """Raises ValueError unless a function takes these options as keywords.

  Args:
    function: what a table's row, or an import path, stands for.
    options: as the user wrote them.
    field: where they were written, for messages: "optimizer.options".
    given: arguments that come from elsewhere and are no options.
  """
  allowed, required = _keywords(function)
  for name in given:
    allowed.pop(name, None)
  for name in options:
    if name not in allowed:
      near = difflib.get_close_matches(name, allowed, n=1)
      hint = f"did you mean {near[0]}? " if near else ""
      raise ValueError(
        f"{field}.{name} is no option of {_title(function)}; {hint}its "
        f"options are {', '.join(allowed) or 'none'}."
      )
  if missing := sorted(required - set(given) - set(options)):
    raise ValueError(
      f"{field}.{missing[0]} is missing and {_title(function)} needs it; set "
      "it."
    )


def declared(
  function: Callable[..., Any], offered: Mapping[str, Any]
) -> dict[str, Any]:
  """Returns those of the offered values that a function has arguments for."""
  allowed, _ = _keywords(function)
  return {name: offered[name] for name in offered if name in allowed}


def _keywords(
  function: Callable[..., Any],
) -> tuple[dict[str, None], set[str]]:
  """Returns all arguments' names, in order, and those without a default."""
  parameters = {
    name: parameter
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
  }
  required = {n for n, p in parameters.items() if p.default is p.empty}
  return dict.fromkeys(parameters), required


def _title(function: Callable[..., Any]) -> str:
  return f"{function.__module__}.{function.__qualname__}"
