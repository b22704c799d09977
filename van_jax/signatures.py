"""The rule that the options of a table's row are its function's arguments."""

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any

from van_jax import errors

_PLAIN = (bool, int, float, str)


def check(
  function: Callable[..., Any],
  options: Mapping[str, Any],
  field: str,
  *,
  given: Collection[str] = (),
) -> None:
  """Raises UserError unless a function takes these options as keywords.

  Args:
    function: what a table's row, or an import path, stands for; whether it is
      a function is checked too.
    options: as the user wrote them.
    field: where they were written, for messages: "optimizer.options".
    given: arguments that come from elsewhere and are no options.
  """
  check_callable(function, field)
  allowed, required = _keywords(function)
  for name in given:
    allowed.pop(name, None)
  for name in options:
    if name not in allowed:
      near = did_you_mean(name, allowed)
      raise errors.UserError(
        f"{field}.{name} is no option of {_title(function)}; {near}its "
        f"options are {', '.join(allowed) or 'none'}."
      )
  parameters = inspect.signature(function).parameters
  for name, value in options.items():
    parameter = parameters[name]
    # With a choice, float | None say, it takes more than its default's type.
    if "|" in str(parameter.annotation):
      _check_choice(f"{field}.{name}", value, parameter.annotation)
    else:
      check_type(f"{field}.{name}", value, parameter.default)
  if missing := sorted(required - set(given) - set(options)):
    raise errors.UserError(
      f"{field}.{missing[0]} is missing and {_title(function)} needs it; set "
      "it."
    )


def check_type(field: str, value: Any, default: Any) -> None:
  """Raises UserError unless a value is of the type of a plain default.

  A whole number may stand for a float; of other defaults than Booleans,
  numbers and strings nothing is known.

  Args:
    field: as the user wrote it, for messages: "optimizer.options.beta1".
    value: as the user wrote it.
    default: of the argument.
  """
  kind = type(default)
  if kind not in _PLAIN or type(value) is kind:
    return
  if kind is float and type(value) is int:
    return
  raise errors.UserError(
    f"{field}={value!r} must be of type {kind.__name__}, as its default "
    f"{default!r} is."
  )


def _check_choice(field: str, value: Any, annotation: Any) -> None:
  """Raises UserError unless a value is of a type of a choice of plain ones."""
  kinds = typing.get_args(annotation)
  if not kinds or not {*kinds} <= {*_PLAIN, types.NoneType}:
    return
  if type(value) in kinds or (float in kinds and type(value) is int):
    return
  names = ["None" if k is types.NoneType else k.__name__ for k in kinds]
  raise errors.UserError(f"{field}={value!r} must be {' or '.join(names)}.")


def check_callable(function: Any, field: str) -> None:
  """Raises UserError unless a name stands for a function.

  Args:
    function: what a table's row, or an import path, stands for.
    field: of the name or its options, for messages: "optimizer.options".
  """
  if not callable(function):
    section = field.removesuffix(".options").removesuffix(".name")
    raise errors.UserError(
      f"{section}.name stands for {function!r}, which is no function; name one."
    )


def did_you_mean(name: str, allowed: Collection[str], prefix: str = "") -> str:
  """Returns the question after the nearest name, or "" where none is near."""
  near = difflib.get_close_matches(name, allowed, n=1)
  return f"did you mean {prefix}{near[0]}? " if near else ""


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
  name = getattr(function, "__qualname__", None)  # A partial has none.
  return f"{function.__module__}.{name}" if name else repr(function)
