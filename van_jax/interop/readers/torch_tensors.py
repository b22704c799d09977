"""Stand-ins for the names in torch's pickles: storages, tensors, parameters."""

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.interop.readers import tensors
from van_jax.interop.readers.pickle_values import Call, Unknown
from van_jax.interop.readers.pickles import Name

_DTYPES = {
  "torch.FloatStorage": "float32",
  "torch.DoubleStorage": "float64",
  "torch.HalfStorage": "float16",
  "torch.BFloat16Storage": "bfloat16",
  "torch.LongStorage": "int64",
  "torch.IntStorage": "int32",
  "torch.ShortStorage": "int16",
  "torch.CharStorage": "int8",
  "torch.ByteStorage": "uint8",
  "torch.BoolStorage": "bool",
}
# Of values that nobody looks into: settings of a training run.
_TYPES = (
  "bfloat16",
  "bool",
  "complex64",
  "complex128",
  "double",
  "float",
  "float16",
  "float32",
  "float64",
  "half",
  "int",
  "int8",
  "int16",
  "int32",
  "int64",
  "long",
  "short",
  "uint8",
  "channels_last",
  "contiguous_format",
  "preserve_format",
  "strided",
  "Tensor",
)
_MAX_AXES = 32


class Storage:
  """A run of numbers in the file, which tensors are windows of.

  Attributes:
    dtype: as in `tensors.Tensor`.
    count: of numbers.
    read: returns the numbers, [count].
  """

  def __init__(self, dtype: str, count: int, read: Callable[[], np.ndarray]):
    if not isinstance(count, int) or not 0 <= count < 1 << 63:
      raise pickle.UnpicklingError("a storage of an impossible size")
    self.dtype = dtype
    self.count = count
    self.read = read


def names() -> dict[str, Any]:
  """Returns the stand-ins by dotted name."""
  return dict(_NAMES)


def reference(
  pid: Any, parts: int
) -> tuple[str | Unknown, str, Any, tuple[Any, ...]]:
  """Returns what a pickle says of a storage: type, key, count, and the rest.

  Args:
    pid: what it refers to a storage by.
    parts: how many the container's references have.

  Raises:
    UnpicklingError: if it is none.
  """
  if not isinstance(pid, tuple) or len(pid) != parts or pid[0] != "storage":
    raise pickle.UnpicklingError("a reference to something else")
  storage_type, key, count = pid[1], pid[2], pid[4]
  if not isinstance(key, str):
    raise pickle.UnpicklingError("a storage whose name is no text")
  if isinstance(storage_type, Unknown):  # Of complex numbers, say.
    return Unknown(storage_type.name), key, count, pid[5:]
  if not isinstance(storage_type, Name) or storage_type.name not in _DTYPES:
    raise pickle.UnpicklingError("a storage of no type")
  return _DTYPES[storage_type.name], key, count, pid[5:]


def _size(sizes: Any = (), *_) -> tuple[Any, ...]:
  if not isinstance(sizes, list | tuple):
    raise pickle.UnpicklingError("a size of nothing")
  return tuple(sizes)


def _with_attributes(function: Any, kind: Any, arguments: Any, *_) -> Any:
  """Returns a tensor whose class or attributes torch has pickled with it."""
  del kind
  known = any(function is rebuild for rebuild in _REBUILD.values())
  if not known or not isinstance(arguments, tuple):
    raise pickle.UnpicklingError("a tensor of nothing")
  unknown = [part for part in arguments if isinstance(part, Unknown)]
  return unknown[0] if unknown else function(*arguments)


def _tensor(
  storage: Any, offset: Any, shape: Any, strides: Any, *_
) -> tensors.Tensor:
  """Returns a window of a storage, having checked that it is inside."""
  if not isinstance(storage, Storage):
    raise pickle.UnpicklingError("a tensor without a storage")
  if not isinstance(shape, tuple) or not isinstance(strides, tuple):
    raise pickle.UnpicklingError("a tensor without sizes")
  if len(shape) != len(strides) or len(shape) > _MAX_AXES:
    raise pickle.UnpicklingError("a tensor with impossible axes")
  if not all(
    isinstance(n, int) and 0 <= n < 1 << 62 for n in (offset, *shape, *strides)
  ):
    raise pickle.UnpicklingError("a tensor with impossible sizes")
  size = math.prod(shape)
  last = offset + sum(
    (n - 1) * step for n, step in zip(shape, strides, strict=True)
  )
  # A stride of 0 could make a tensor of any size out of one number.
  if size and (last >= storage.count or size > storage.count):
    raise pickle.UnpicklingError("a tensor that reaches beyond its storage")

  def read() -> np.ndarray:
    numbers = storage.read()
    if len(numbers) != storage.count:  # as_strided would read other memory.
      raise errors.UserError("the file is cut short; fetch it again.")
    numbers = numbers[offset:]
    steps = [step * numbers.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(
      numbers, shape, steps, writeable=False
    )

  return tensors.Tensor(shape=shape, dtype=storage.dtype, read=read)


_DATA = Call(lambda data, *_: data)
_VALUE = Call(lambda *_: Name("a value of torch"))
_REBUILD = {
  "torch._utils._rebuild_tensor": Call(_tensor),
  "torch._utils._rebuild_tensor_v2": Call(_tensor),
  "torch._utils._rebuild_parameter": _DATA,
  "torch._utils._rebuild_parameter_with_state": _DATA,
  "torch._utils._rebuild_device_tensor_from_numpy": _DATA,
  "torch._utils._rebuild_device_tensor_from_cpu_tensor": _DATA,
}
_NAMES: dict[str, Any] = {
  **_REBUILD,
  **{name: Name(name) for name in _DTYPES},
  **{f"torch.{name}": Name(f"torch.{name}") for name in _TYPES},
  "torch.Size": Call(_size),
  "torch._tensor._rebuild_from_type_v2": Call(_with_attributes),
  "torch.nn.parameter.Parameter": Name("torch.nn.parameter.Parameter"),
  "torch.device": _VALUE,
  "torch.serialization._get_layout": _VALUE,
}
