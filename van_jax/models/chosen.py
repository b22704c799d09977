"""A module that a model's field names, with the fields that are its own.

An attention and a segmentation head are chosen alike: by a name of a table,
the import path of a stranger's class, or the class itself.
"""

import dataclasses
import inspect
from collections.abc import Collection, Mapping
from typing import Any

import flax.linen as nn
from flax.core import FrozenDict

from van_jax import errors, imports, signatures

# Types of fields, or their names, that say what a value must be.
_PLAIN = (bool, int, float, str, "bool", "int", "float", "str")


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
  """What a field of a model may name, and what it hands over.

  Attributes:
    field: of the model: "attention", say.
    table: classes by name.
    bound: names of fields that the model hands over, to modules that declare
      them; all others are the module's own.
  """

  field: str
  table: dict[str, type[nn.Module]]
  bound: tuple[str, ...]

  def described(self, given: Any) -> FrozenDict[str, Any]:
    """Returns the name and all of the module's own fields, checked.

    They are as the module has them, which may put a value where None is given.
    The name is the table's, or for a stranger's module the class.

    Args:
      given: a name of the table, an import path MODULE:CLASS, or a flax module
        class; or a mapping with that as "name" and fields of the module.

    Raises:
      UserError: for an unknown name, a field that the module has not, one that
        it cannot do without, or a value that it refuses.
    """
    given = self.as_dict(given)
    cls = self.module_class(given.pop("name"))
    fields = self._own_fields(cls)
    for field in given:
      if field not in fields:
        raise errors.UserError(
          f"{self.field}.{field}={given[field]!r} is no field of "
          f"{self.label(cls)}; "
          f"{_instead(cls, field, fields)}."
        )
      if fields[field].type in _PLAIN:
        default = fields[field].default
        signatures.check_type(f"{self.field}.{field}", given[field], default)
    values = {
      name: plain(given[name]) if name in given else self._default(cls, field)
      for name, field in fields.items()
    }
    try:
      # With no parent, or a module around would adopt it.
      module = cls(**values, **self._missing_bound(cls), parent=None)
    except (ValueError, TypeError, ArithmeticError) as error:
      raise errors.UserError(
        f"{self.field} {self.label(cls)}: {error}"
      ) from error
    names = {row: name for name, row in self.table.items()}
    kept = {name: plain(getattr(module, name)) for name in fields}
    return FrozenDict({"name": names.get(cls, cls)} | kept)

  def module_class(self, name: Any) -> type[nn.Module]:
    """Returns the class that a name, an import path or the class stands for.

    Raises:
      UserError: if it stands for no flax module class.
    """
    cls = name
    if isinstance(name, str):
      cls = imports.choose(name, self.table, f"{self.field}.name")
    if not isinstance(cls, type) or not issubclass(cls, nn.Module):
      raise errors.UserError(
        f"{self.field}.name={name!r} is no flax module class; name a class "
        "that inherits from flax.linen.Module."
      )
    return cls

  def make(self, given: Any, *, name: str | None, **bound: Any) -> nn.Module:
    """Returns the module, with what it declares of what is handed over.

    Args:
      given: as `described` takes it.
      name: of the module in its parent; None in `setup`, which names it.
      **bound: what is handed over, by name.
    """
    values = dict(self.described(given))
    cls = self.module_class(values.pop("name"))
    declared = {field.name for field in dataclasses.fields(cls)}
    wanted = {k: v for k, v in bound.items() if k in declared}
    return cls(**values, **wanted, name=name)

  def label(self, cls: type[nn.Module]) -> str:
    """Returns the table's name of a class, or its import path."""
    for name, row in self.table.items():
      if row is cls:
        return name
    return f"{cls.__module__}:{cls.__qualname__}"

  def as_dict(self, given: Any) -> dict[str, Any]:
    """Returns the name and the fields that are given.

    Raises:
      UserError: if it is no name, class or mapping with a name.
    """
    if isinstance(given, str | type):
      return {"name": given}
    if not hasattr(given, "keys"):  # A config's section is no Mapping.
      raise errors.UserError(
        f"{self.field}={given!r} must be a name, a module class, or a mapping "
        "with a name and fields."
      )
    given = {key: given[key] for key in given}
    if "name" not in given:
      raise errors.UserError(
        f"{self.field}={given} has no name; there are {', '.join(self.table)}, "
        "import paths and classes."
      )
    return given

  def _own_fields(
    self, cls: type[nn.Module]
  ) -> dict[str, dataclasses.Field[Any]]:
    """Returns the fields that a user sets, by name."""
    others = ("parent", "name", *self.bound)
    fields = dataclasses.fields(cls)
    return {f.name: f for f in fields if f.init and f.name not in others}

  def _missing_bound(self, cls: type[nn.Module]) -> dict[str, None]:
    """Returns None for what is handed over and has no default."""
    missing = dataclasses.MISSING
    return {
      f.name: None
      for f in dataclasses.fields(cls)
      if f.name in self.bound and f.default is f.default_factory is missing
    }

  def _default(
    self, cls: type[nn.Module], field: dataclasses.Field[Any]
  ) -> Any:
    if field.default is not dataclasses.MISSING:
      return plain(field.default)
    if field.default_factory is not dataclasses.MISSING:
      return plain(field.default_factory())
    raise errors.UserError(
      f"{self.field}.{field.name} must be given: {self.label(cls)} has no "
      "default for it."
    )


def _instead(cls: type[nn.Module], field: Any, fields: Collection[str]) -> str:
  """Returns what to do about a field that a class has not."""
  if field in vars(cls):  # No field for want of a type.
    return f"declare it with its type: {field}: TYPE = ..."
  return imports.nearest(field, fields) if fields else "it has none"


def takes_train(module: nn.Module) -> bool:
  """Returns whether a module's `__call__` wants to be told `train`."""
  return "train" in inspect.signature(type(module).__call__).parameters


def plain(value: Any) -> Any:
  """Returns a value that can be hashed: tuples for lists, down to the last."""
  if isinstance(value, list | tuple):
    return tuple(plain(item) for item in value)
  if isinstance(value, Mapping) or hasattr(value, "keys"):
    return FrozenDict({key: plain(value[key]) for key in value})
  return value
