"""An attention as JSON values, and back without importing anything."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
from flax.core import FrozenDict

from van_jax import errors, imports
from van_jax.models.attention import table


def to_json(attention: Any) -> dict[str, Any]:
  """Returns an attention's name, or import path, and fields as JSON values.

  Raises:
    UserError: if a field's value is none that JSON has.
  """
  values = dict(table.described(attention))
  name = table.label(table.module_class(values.pop("name")))
  return {"name": name} | {k: _json(k, v) for k, v in values.items()}


def from_json(
  recorded: Mapping[str, Any], handed_over: type[nn.Module] | str | None
) -> FrozenDict[str, Any]:
  """Returns the attention that `to_json` recorded.

  A stranger's class has to be handed over: what a file names is never
  imported. It is known by its own name; its module may be another, as when it
  has moved from a notebook into a file.

  Args:
    recorded: by `to_json`.
    handed_over: the class, or an import path that the caller trusts.

  Raises:
    UserError: if there is no class, or it is another one than recorded.
  """
  name = recorded["name"]
  if handed_over is None:
    if imports.is_path(name):
      own, path = _own_name(name), _importable(name)
      raise errors.UserError(
        f"the attention of these weights is {name!r}, which is not imported "
        "because a file says so; hand the class over: load_bundle(path, "
        f"attention={own}), by --attention={path}, or of train.py and eval.py "
        f"by --config.model.attention.name={path}."
      )
    return table.described(recorded)
  if isinstance(handed_over, Mapping):
    raise errors.UserError(
      f"attention={dict(handed_over)} was handed over; hand over the class "
      "alone: its fields are those of the weights."
    )
  cls = table.module_class(handed_over)
  if _own_name(table.label(cls)) != _own_name(name):
    raise errors.UserError(
      f"attention={table.label(cls)!r} was handed over, and that of these "
      f"weights is {name!r}; hand over that one"
      + ("." if imports.is_path(name) else ", or none: it is known by name.")
    )
  return table.described({**recorded, "name": cls})


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
    f"attention.{field}={value!r} cannot be written to a file; let the field "
    "be a number, a name, or a sequence of those."
  )
