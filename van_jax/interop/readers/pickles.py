"""Reads pickles from strangers: data is rebuilt, code is never run.

A pickle is a program that may call whatever it names. Here a name is looked up
in one table of stand-ins. Classes that are not in it stay empty placeholders,
which are listed; a pickle that names what acts on the machine is refused with
that name.
"""

import collections
import pickle
from collections.abc import Callable, Mapping
from typing import IO, Any

from van_jax import errors
from van_jax.interop.readers import excerpts, hostile_names
from van_jax.interop.readers.pickle_machine import Machine
from van_jax.interop.readers.pickle_values import Call, Unknown, as_key

_MAX_NAME = 400  # Characters of a dotted name.


class RefusedError(errors.UserError):
  """A pickle that refers to something which acts on the machine."""


class Name:
  """A type, or a plain value, that is named and has no contents here."""

  def __init__(self, name: str):
    self.name = name


class OrderedDict(dict):
  """A dict, without the attributes that torch hangs on its own."""

  def set_state(self, state: Any) -> None:
    """Forgets torch's module versions."""
    del state


class Namespace:
  """An argparse.Namespace, as the dict of its fields."""

  def __init__(self, *_):
    self.fields: Mapping[str, Any] = {}

  def set_state(self, state: Any) -> None:
    """Takes the fields."""
    if not isinstance(state, dict):
      raise pickle.UnpicklingError("a Namespace without fields")
    self.fields = state


def load(
  file: IO[bytes],
  *,
  names: Mapping[str, Any],
  persistent_load: Callable[[Any], Any] | None = None,
  unknown: collections.Counter[str] | None = None,
) -> Any:
  """Reads one pickle from an open file.

  Args:
    file: at the pickle's first byte; afterwards behind its last.
    names: stand-ins by dotted name, beside those for plain Python data.
    persistent_load: turns the pickle's references to other files into values.
    unknown: is told the names that are in no table, and how often they came.

  Raises:
    RefusedError: at the first name that acts on the machine.
    UserError: if the pickle is damaged, or larger than any of weights.
  """
  finder = _Finder(_PLAIN | dict(names), unknown)
  try:
    tree = Machine(finder.find, persistent_load or _no_reference).run(file)
    finder.check()
    return tree
  except RefusedError as error:
    raise RefusedError(
      f"refused: the file wants to call {error}, which acts on the machine "
      "and is no part of weights; get them from a source that you trust, as a "
      "plain state_dict."
    ) from None
  except errors.UserError:
    raise
  except Exception as error:  # Damaged opcodes raise nearly every kind.
    ours = isinstance(error, pickle.UnpicklingError)
    reason = excerpts.excerpt(str(error) if ours else type(error).__name__)
    raise errors.UserError(
      f"its pickle is damaged ({reason}); fetch the file again."
    ) from error


class _Finder:
  """Looks names up."""

  def __init__(self, names: Mapping[str, Any], unknown):
    self._names = names
    self._unknown = unknown
    self._getattr = Call(self._method, takes_unknown=True)
    self._loose = False

  def find(self, module: str, name: str) -> Any:
    dotted = f"{module}.{name}"[:_MAX_NAME]
    if dotted in self._names:
      return self._names[dotted]
    if dotted in ("builtins.getattr", "__builtin__.getattr"):
      self._loose = True
      return self._getattr
    within = dotted.rpartition(".")[0]
    if hostile_names.is_hostile(dotted) or within in self._names:
      raise RefusedError(excerpts.excerpt(dotted))
    if self._unknown is not None:
      self._unknown[dotted] += 1
    return Unknown(dotted)

  def check(self) -> None:
    """Raises RefusedError for a getattr that was not called."""
    if self._loose:
      raise RefusedError("builtins.getattr")

  def _method(self, owner: Any = None, name: Any = None, *_) -> Unknown:
    """Takes the place of getattr, by which pickles refer to methods.

    mmengine's HistoryBuffer has some. Those of anything known are refused.
    """
    if not isinstance(owner, Unknown) or not isinstance(name, str):
      raise RefusedError("builtins.getattr")
    self._loose = False
    return Unknown(f"{owner.name}.{name}"[:_MAX_NAME])


def _type_of(*values: Any) -> Name:
  """Takes the place of type, by which pickles refer to None's."""
  if values != (None,):
    raise RefusedError("builtins.type")
  return Name("NoneType")


def _sequence(items: Any = (), *_) -> list[Any]:
  if not isinstance(items, list | tuple | dict):
    raise pickle.UnpicklingError("a sequence of no items")
  return list(items)


def _mapping(items: Any = (), *_) -> OrderedDict:
  pairs = items.items() if isinstance(items, dict) else _sequence(items)
  mapping = OrderedDict()
  for key, value in pairs:
    mapping[as_key(key)] = value
  return mapping


def _no_reference(pid: Any) -> Any:
  del pid
  raise pickle.UnpicklingError("a reference to another file")


def _encode(text: str, encoding: str = "latin1") -> bytes:
  """Returns what Python 3 made bytes of in a pickle of protocol 2."""
  if encoding not in ("latin1", "latin-1"):
    raise RefusedError(f"_codecs.encode(..., {excerpts.excerpt(encoding)!r})")
  return text.encode("latin1")


def _instance(kind: Any, *_) -> Any:
  """Returns what protocols 0 and 1 make of a class, before its state."""
  if not isinstance(kind, Call):
    raise pickle.UnpicklingError("an instance of nothing")
  return kind()


def _value(name: str) -> Call:
  """Returns the stand-in of a class whose instances nobody looks into."""
  return Call(lambda *_: Name(name))


_VALUES = (
  "builtins.bytearray",
  "builtins.complex",
  "builtins.slice",
  "builtins.range",
  "__builtin__.bytearray",
  "__builtin__.complex",
  "__builtin__.slice",
  "datetime.date",
  "datetime.datetime",
  "datetime.time",
  "datetime.timedelta",
  "datetime.timezone",
  "pathlib.Path",
  "pathlib.PosixPath",
  "pathlib.PurePath",
  "pathlib.PurePosixPath",
  "pathlib.PureWindowsPath",
  "pathlib.WindowsPath",
  "pathlib._local.PosixPath",
  "pathlib._local.WindowsPath",
)
_TYPES = ("bool", "bytes", "float", "int", "long", "object", "str", "unicode")

_PLAIN: dict[str, Any] = {
  "argparse.Namespace": Call(Namespace),
  "types.SimpleNamespace": Call(Namespace),
  "collections.OrderedDict": Call(_mapping),
  "collections.defaultdict": Call(
    lambda factory=None, items=(), *_: _mapping(items)
  ),
  "collections.Counter": Call(_mapping),
  "collections.deque": Call(_sequence),
  "_codecs.encode": Call(_encode),
  "copy_reg._reconstructor": Call(_instance),
  "copyreg._reconstructor": Call(_instance),
  **{name: _value(name) for name in _VALUES},
}
for _package in ("builtins", "__builtin__"):
  _PLAIN |= {f"{_package}.{kind}": Name(kind) for kind in _TYPES}
  _PLAIN[f"{_package}.dict"] = Call(_mapping)
  _PLAIN[f"{_package}.type"] = Call(_type_of)
  for kind in ("list", "set"):
    _PLAIN[f"{_package}.{kind}"] = Call(_sequence)
  for kind in ("tuple", "frozenset"):
    _PLAIN[f"{_package}.{kind}"] = Call(lambda *items: tuple(_sequence(*items)))
