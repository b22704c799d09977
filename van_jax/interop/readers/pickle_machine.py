"""The machine that a pickle is a program for, with nothing to break.

Python's own unpickler hashes, copies and nests whatever a program asks for:
eighty bytes can keep it busy for ever, and 200 KB overflow its stack. Here

- every operation, and every item that a call copies, is counted;
- keys are scalars and short text, so that nothing nested is ever hashed;
- names are looked up by a function that the caller gives, and the only things
  called are its `Call`s. What else a pickle names or makes stays `Unknown`:
  an object without contents.

Sets are lists here, for their items would be hashed.
"""

import pickle
import pickletools
from collections.abc import Callable
from typing import IO, Any, cast

from van_jax import errors
from van_jax.interop.readers.pickle_values import (
  Call,
  Source,
  Unknown,
  as_key,
  check_depth,
)

# Of one pickle. VAN-B6 with optimizer and averages makes half a million steps.
MAX_STEPS = 4_000_000
_MAX_INTEGER = 1 << 2048
_FREE_TEXT = 1 << 20  # Characters that may be copied beside those read.


class Machine:
  """Runs one pickle."""

  def __init__(
    self,
    find: Callable[[str, str], Any],
    persistent_load: Callable[[Any], Any],
  ):
    self._find = find
    self._persistent_load = persistent_load
    self._stack: list[Any] = []
    self._marks: list[int] = []
    self._memo: dict[int, Any] = {}
    self._steps = 0
    self._text = _FREE_TEXT

  def run(self, file: IO[bytes]) -> Any:
    """Returns what the pickle makes; the file is then behind its last byte.

    Raises:
      UserError: when the pickle is larger than any of weights.
      Exception: of nearly every kind, when it is damaged.
    """
    source = cast(IO[bytes], Source(file))  # All that genops needs.
    for opcode, argument, _ in pickletools.genops(source):
      self._spend(1)
      if opcode.name == "STOP":
        break
      if opcode.name in _CONSTANTS:
        self._stack.append(_CONSTANTS[opcode.name]())
      elif opcode.name in _LITERALS:
        self._literal(argument)
      else:
        _OPERATIONS[opcode.name](self, argument)
    tree = self._stack.pop()
    check_depth(tree)
    return tree

  def _spend(self, steps: int) -> None:
    self._steps += steps
    if self._steps > MAX_STEPS:
      raise errors.UserError(
        f"its pickle has more than {MAX_STEPS:,} parts, as no file of weights "
        "has; save the state_dict alone."
      )

  def _literal(self, value: Any) -> None:
    if isinstance(value, int) and abs(value) >= _MAX_INTEGER:
      raise pickle.UnpicklingError("a number of too many digits")
    if isinstance(value, str):
      self._text += len(value)
    self._stack.append(value)

  def _items(self) -> list[Any]:
    """Returns what is above the last mark, taken off the stack."""
    mark = self._marks.pop()
    items = self._stack[mark:]
    del self._stack[mark:]
    return items

  def _pop(self, _) -> None:
    if self._marks and self._marks[-1] == len(self._stack):
      self._marks.pop()
    else:
      self._stack.pop()

  def _tuple_of(self, count: int) -> None:
    items = tuple(self._stack[-count:])
    if len(items) != count:
      raise pickle.UnpicklingError("a tuple of nothing")
    self._stack[-count:] = [items]

  def _extend(self, items: list[Any]) -> None:
    target = self._stack[-1]
    if isinstance(target, list):
      target.extend(items)
    elif not isinstance(target, Unknown):
      raise pickle.UnpicklingError(f"items for a {type(target).__name__}")

  def _set_items(self, items: list[Any]) -> None:
    target = self._stack[-1]
    if isinstance(target, dict):
      for key, value in zip(items[::2], items[1::2], strict=True):
        target[as_key(key)] = value
    elif not isinstance(target, Unknown):
      raise pickle.UnpicklingError(f"items for a {type(target).__name__}")

  def _dict(self, _) -> None:
    items = self._items()
    self._stack.append({})
    self._set_items(items)

  def _put(self, index: int) -> None:
    if index > self._steps:  # As no program writes it.
      raise pickle.UnpicklingError(f"a memo with an index of {index}")
    self._memo[index] = self._stack[-1]

  def _stack_global(self, _) -> None:
    name, module = self._stack.pop(), self._stack.pop()
    if not isinstance(module, str) or not isinstance(name, str):
      raise pickle.UnpicklingError("a name that is no text")
    self._stack.append(self._find(module, name))

  def _reduce(self, _) -> None:
    arguments, function = self._stack.pop(), self._stack.pop()
    self._stack.append(self._called(function, arguments))

  def _new_with_keywords(self, _) -> None:
    keywords = self._stack.pop()
    arguments, kind = self._stack.pop(), self._stack.pop()
    if keywords and not isinstance(kind, Unknown):
      raise pickle.UnpicklingError("keywords for what takes none")
    self._stack.append(self._called(kind, arguments))

  def _inst(self, name: str) -> None:
    arguments = tuple(self._items())
    self._stack.append(self._called(self._find(*name.split(" ", 1)), arguments))

  def _obj(self, _) -> None:
    kind, *arguments = self._items()
    self._stack.append(self._called(kind, tuple(arguments)))

  def _called(self, function: Any, arguments: Any) -> Any:
    if not isinstance(arguments, tuple):
      raise pickle.UnpicklingError("arguments that are no tuple")
    # What is made of something unknown is not known either.
    unknown = [p for p in (function, *arguments) if isinstance(p, Unknown)]
    if unknown and not getattr(function, "takes_unknown", False):
      return Unknown(unknown[0].name)
    if not isinstance(function, Call):
      raise pickle.UnpicklingError(f"a call of a {type(function).__name__}")
    for argument in arguments:
      if isinstance(argument, list | tuple | dict):
        self._spend(len(argument))
      elif isinstance(argument, str):
        self._text -= len(argument)
    if self._text < 0:
      raise errors.UserError(
        "its pickle copies more text than it has, as no file of weights does; "
        "save the state_dict alone."
      )
    return function(*arguments)

  def _build(self, _) -> None:
    state, target = self._stack.pop(), self._stack[-1]
    setter = getattr(type(target), "set_state", None)
    if setter is None:
      raise pickle.UnpicklingError(f"state for a {type(target).__name__}")
    setter(target, state)


def _refused(machine: Machine, _) -> None:
  del machine
  raise pickle.UnpicklingError("buffers or extensions outside of it")


def _push(value: Callable[[Machine, Any], Any]) -> Callable[..., None]:
  """Returns the operation that pushes what a function returns."""
  return lambda machine, argument: machine._stack.append(
    value(machine, argument)
  )


_CONSTANTS: dict[str, Callable[[], Any]] = {
  "NONE": lambda: None,
  "NEWTRUE": lambda: True,
  "NEWFALSE": lambda: False,
  "EMPTY_TUPLE": tuple,
  "EMPTY_LIST": list,
  "EMPTY_DICT": dict,
  "EMPTY_SET": list,
}
_LITERALS = frozenset(
  {
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "FLOAT",
    "BINFLOAT",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "BINUNICODE",
    "BINUNICODE8",
    "SHORT_BINUNICODE",
    "BINBYTES",
    "BINBYTES8",
    "SHORT_BINBYTES",
    "BYTEARRAY8",
  }
)
_OPERATIONS: dict[str, Callable[[Machine, Any], None]] = {
  "PROTO": lambda machine, argument: None,
  "FRAME": lambda machine, argument: None,
  "MARK": lambda m, _: m._marks.append(len(m._stack)),
  "POP": Machine._pop,
  "POP_MARK": lambda m, _: m._items().clear(),
  "DUP": _push(lambda m, _: m._stack[-1]),
  "TUPLE": _push(lambda m, _: tuple(m._items())),
  "TUPLE1": lambda m, _: m._tuple_of(1),
  "TUPLE2": lambda m, _: m._tuple_of(2),
  "TUPLE3": lambda m, _: m._tuple_of(3),
  "FROZENSET": _push(lambda m, _: tuple(m._items())),
  "LIST": _push(lambda m, _: m._items()),
  "DICT": Machine._dict,
  "APPEND": lambda m, _: m._extend([m._stack.pop()]),
  "APPENDS": lambda m, _: m._extend(m._items()),
  "ADDITEMS": lambda m, _: m._extend(m._items()),
  "SETITEM": lambda m, _: m._set_items([m._stack.pop(), m._stack.pop()][::-1]),
  "SETITEMS": lambda m, _: m._set_items(m._items()),
  "PUT": Machine._put,
  "BINPUT": Machine._put,
  "LONG_BINPUT": Machine._put,
  "MEMOIZE": lambda m, _: m._put(len(m._memo)),
  "GET": _push(lambda m, index: m._memo[index]),
  "BINGET": _push(lambda m, index: m._memo[index]),
  "LONG_BINGET": _push(lambda m, index: m._memo[index]),
  "GLOBAL": _push(lambda m, name: m._find(*name.split(" ", 1))),
  "STACK_GLOBAL": Machine._stack_global,
  "REDUCE": Machine._reduce,
  "NEWOBJ": Machine._reduce,
  "NEWOBJ_EX": Machine._new_with_keywords,
  "INST": Machine._inst,
  "OBJ": Machine._obj,
  "BUILD": Machine._build,
  "PERSID": _push(lambda m, pid: m._persistent_load(pid)),
  "BINPERSID": _push(lambda m, _: m._persistent_load(m._stack.pop())),
  **dict.fromkeys(
    ("EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"), _refused
  ),
}
