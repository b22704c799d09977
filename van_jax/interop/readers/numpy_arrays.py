"""Stand-ins for what NumPy's arrays and numbers are made of in a pickle."""

from typing import Any

import numpy as np

from van_jax.interop.readers import excerpts, tensors
from van_jax.interop.readers.pickle_values import Call
from van_jax.interop.readers.pickles import Name, RefusedError

_DTYPES = "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1"


class _Dtype:
  """A numpy.dtype; `dtype` is None where it is not one of plain numbers."""

  def __init__(self, name: Any, *_):
    if not isinstance(name, str) or name.lstrip("<>|=").startswith("O"):
      raise RefusedError(f"numpy.dtype({excerpts.excerpt(name)!r})")
    self.name = name
    self.dtype = np.dtype(name) if name in _DTYPES.split() else None

  def set_state(self, state: Any) -> None:
    """Takes the order of the bytes."""
    if self.dtype is not None and state[1] in ("<", ">", "|", "="):
      self.dtype = self.dtype.newbyteorder(state[1])


class _Array(tensors.Tensor):
  """A numpy.ndarray: made empty, then given its contents."""

  def __init__(self, *_):
    super().__init__(shape=(), dtype="", read=lambda: np.zeros(()))

  def set_state(self, state: Any) -> None:
    """Takes the contents."""
    _, shape, dtype, fortran, data = state
    _fill(self, data, dtype, shape, "F" if fortran else "C")


def names() -> dict[str, Any]:
  """Returns the stand-ins for what NumPy's arrays and numbers are made of."""
  names: dict[str, Any] = {"numpy.ndarray": Name("numpy.ndarray")}
  names["numpy.dtype"] = Call(_Dtype)
  for package in ("numpy.core", "numpy._core"):
    names[f"{package}.multiarray._reconstruct"] = Call(_Array)
    names[f"{package}.multiarray.scalar"] = Call(_scalar)
    names[f"{package}.numeric._frombuffer"] = Call(_frombuffer)
  return names


def _fill(array, data, dtype, shape, order) -> None:
  if not isinstance(dtype, _Dtype) or dtype.dtype is None:
    array.dtype = excerpts.excerpt(getattr(dtype, "name", "unknown"))
    return
  if isinstance(data, str):  # Of Python 2.
    data = data.encode("latin1")
  values = np.frombuffer(data, dtype.dtype).reshape(shape, order=order)
  array.shape, array.dtype = values.shape, values.dtype.name
  array.read = lambda: values


def _frombuffer(data, dtype, shape, order) -> _Array:
  array = _Array()
  _fill(array, data, dtype, shape, "F" if order == "F" else "C")
  return array


def _scalar(dtype: _Dtype, data: Any = None) -> Any:
  if dtype.dtype is None:
    return Name(dtype.name)
  if isinstance(data, str):
    data = data.encode("latin1")
  return np.frombuffer(data, dtype.dtype).item()
