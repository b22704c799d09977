"""Reads pickles from strangers: data is rebuilt, code is never run.

A pickle is a program that may call whatever it names. Here a name is looked up
in one table of inert stand-ins, and a pickle that names anything else is
refused with that name, before any of it is called. Stand-ins take no state from
the pickle, except for those that are data, so that nothing in this process can
be changed through them.
"""

import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any, cast

import numpy as np

from van_jax import errors
from van_jax.interop.readers import tensors

_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
_DTYPES = "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1"


class RefusedError(errors.UserError):
  """A pickle that refers to something which is not data."""


class Inert:
  """What a pickle may hold and pass on, but not change."""

  def __setstate__(self, state: Any):
    raise pickle.UnpicklingError(f"state for a {type(self).__name__}")


class Call(Inert):
  """A function of ours in the place of the one that the pickle names."""

  def __init__(self, function: Callable[..., Any]):
    self._function = function

  def __call__(self, *args: Any) -> Any:
    """Calls it."""
    return self._function(*args)


class Name(Inert):
  """A type that is named and never called."""

  def __init__(self, name: str):
    self.name = name


class OrderedDict(dict):
  """A dict, without the attributes that torch hangs on its own."""

  def __setstate__(self, state: Any):
    del state  # torch's module versions.


class Namespace:
  """An argparse.Namespace, as the dict of its fields."""

  fields: Mapping[str, Any] = {}

  def __setstate__(self, state: Any):
    if not isinstance(state, dict):
      raise pickle.UnpicklingError("a Namespace without fields")
    self.fields = state


class _Dtype:
  """A numpy.dtype of plain numbers."""

  def __init__(self, name: str, *_):
    if name not in _DTYPES.split():
      raise RefusedError(f"numpy.dtype({name!r})")
    self.dtype = np.dtype(name)

  def __setstate__(self, state: Any):
    self.dtype = self.dtype.newbyteorder(state[1])


class _Array(tensors.Tensor):
  """A numpy.ndarray: made empty, then given its contents."""

  def __init__(self, *_):
    super().__init__(shape=(), dtype="", read=lambda: np.zeros(()))

  def __setstate__(self, state: Any):
    _, shape, dtype, fortran, data = state
    order = "F" if fortran else "C"
    _fill(self, data, dtype, shape, order)


def numpy_names() -> dict[str, Any]:
  """Returns the stand-ins for what NumPy's arrays and numbers are made of."""
  names: dict[str, Any] = {"numpy.ndarray": Name("numpy.ndarray")}
  names["numpy.dtype"] = Call(_Dtype)
  for package in ("numpy.core", "numpy._core"):
    names[f"{package}.multiarray._reconstruct"] = Call(_Array)
    names[f"{package}.multiarray.scalar"] = Call(_scalar)
    names[f"{package}.numeric._frombuffer"] = Call(_frombuffer)
  return names


def load(
  file: IO[bytes],
  *,
  names: Mapping[str, Any],
  persistent_load: Callable[[Any], Any] | None = None,
) -> Any:
  """Reads one pickle from an open file.

  Args:
    file: at the pickle's first byte; afterwards behind its last.
    names: stand-ins by dotted name, beside those for plain Python data.
    persistent_load: turns the pickle's references to other files into values.

  Raises:
    RefusedError: at the first name that is not in the tables.
    UserError: if the pickle is damaged.
  """
  try:
    _check_memo(file)
    return _Reader(file, _PLAIN | dict(names), persistent_load).load()
  except RefusedError as error:
    raise RefusedError(
      f"refused: the file wants to call {error}, and only tensors, numbers, "
      "strings, dicts, lists and argparse.Namespace are rebuilt; get the "
      "weights from a source that you trust, as a plain state_dict."
    ) from None
  except Exception as error:  # Damaged opcodes raise nearly every kind.
    raise errors.UserError(
      f"its pickle is damaged ({error!r}); fetch the file again."
    ) from error


class _Reader(pickle.Unpickler):
  """An unpickler that knows a fixed set of names."""

  def __init__(self, file, names, persistent_load):
    super().__init__(file, encoding="latin1")
    self._names = names
    self._persistent_load = persistent_load

  def find_class(self, module: str, name: str) -> Any:
    dotted = f"{module}.{name}"
    if dotted not in self._names:
      raise RefusedError(dotted)
    return self._names[dotted]

  def persistent_load(self, pid: Any) -> Any:
    if self._persistent_load is None:
      raise pickle.UnpicklingError("a reference to another file")
    return self._persistent_load(pid)


def _check_memo(file: IO[bytes]) -> None:
  """Raises UnpicklingError for a memo with gaps, as no program writes it.

  The unpickler makes room up to the largest index: nine bytes could ask for
  all of the memory.
  """
  start = file.tell()
  for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
    if opcode.name in _PUTS and cast(int, argument) > count:
      raise pickle.UnpicklingError(f"a memo with an index of {argument}")
  file.seek(start)


def _encode(text: str, encoding: str = "latin1") -> bytes:
  """Returns what Python 3 made bytes of in a pickle of protocol 2."""
  if encoding != "latin1":
    raise RefusedError(f"_codecs.encode(..., {encoding!r})")
  return text.encode("latin1")


def _fill(array, data, dtype, shape, order) -> None:
  values = np.frombuffer(data, dtype.dtype).reshape(shape, order=order)
  array.shape, array.dtype = values.shape, values.dtype.name
  array.read = lambda: values


def _frombuffer(data, dtype, shape, order) -> _Array:
  array = _Array()
  _fill(array, data, dtype, shape, "F" if order == "F" else "C")
  return array


def _scalar(dtype: _Dtype, data: bytes) -> int | float | bool:
  return np.frombuffer(data, dtype.dtype).item()


_PLAIN = {
  "argparse.Namespace": Namespace,
  "collections.OrderedDict": OrderedDict,
  "builtins.tuple": tuple,
  "__builtin__.tuple": tuple,
  "_codecs.encode": Call(_encode),
}
