"""A chosen module as JSON values, and back without importing anything."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
from flax.core import FrozenDict

from van_jax import errors, imports
from van_jax.models.chosen import Choice


def to_json(choice: Choice, given: Any) -> dict[str, Any]:
  """Returns a module's name, or import path, and fields as JSON values.

  Args:
    choice: what field of a model it is chosen by.
    given: as `choice.described` takes it.

  Raises:
    UserError: if a field's value is none that JSON has.
  """
  values = dict(choice.described(given))
  name = choice.label(choice.module_class(values.pop("name")))
  return {"name": name} | {
    k: _json(f"{choice.field}.{k}", v) for k, v in values.items()
  }


def from_json(
  choice: Choice,
  recorded: Mapping[str, Any],
  handed_over: type[nn.Module] | str | None,
) -> FrozenDict[str, Any]:
  """Returns the module's name and fields that `to_json` recorded.

  A stranger's class has to be handed over: what a file names is never
  imported. It is known by its own name; its module may be another, as when it
  has moved from a notebook into a file.

  Args:
    choice: what field of a model it is chosen by.
    recorded: by `to_json`.
    handed_over: the class, or an import path that the caller trusts.

  Raises:
    UserError: if there is no class, or it is another one than recorded.
  """
  name, field = recorded["name"], choice.field
  if handed_over is None:
    if imports.is_path(name):
      own, path = _own_name(name), _importable(name)
      raise errors.UserError(
        f"the {field} of these weights is {name!r}, which is not imported "
        "because a file says so; hand the class over: load_bundle(path, "
        f"{field}={own}), by --{field}={path}, or of train.py and eval.py by "
        f"--config.model.{field}.name={path}."
      )
    return choice.described(recorded)
  if isinstance(handed_over, Mapping):
    raise errors.UserError(
      f"{field}={dict(handed_over)} was handed over; hand over the class "
      "alone: its fields are those of the weights."
    )
  cls = choice.module_class(handed_over)
  if _own_name(choice.label(cls)) != _own_name(name):
    raise errors.UserError(
      f"{field}={choice.label(cls)!r} was handed over, and that of these "
      f"weights is {name!r}; hand over that one"
      + ("." if imports.is_path(name) else ", or none: it is known by name.")
    )
  return choice.described({**recorded, "name": cls})


def _own_name(name: str) -> str:
  """Returns what a class is called, without its module and function."""
  return name.rpartition(":")[2].rpartition(".")[2]


def _importable(name: str) -> str:
  """Returns a recorded class's import path, or what is to be filled in.

  No other process can import what a notebook, a script or a function made.
  """
  module, _, cls = name.partition(":")
  if module == "__main__" or "." in cls:
    return f"MODULE:{_own_name(name)}"
  return name


def _json(field: str, value: Any) -> Any:
  if isinstance(value, tuple):
    return [_json(field, item) for item in value]
  if isinstance(value, FrozenDict):
    return {str(key): _json(field, item) for key, item in value.items()}
  if value is None or isinstance(value, bool | int | float | str):
    return value
  raise errors.UserError(
    f"{field}={value!r} cannot be written to a file; let the field "
    "be a number, a name, or a sequence of those."
  )
