"""Stand-ins for the names in torch's pickles: storages, tensors, parameters."""

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.interop.readers import pickles, tensors

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


class Storage(pickles.Inert):
  """A run of numbers in the file, which tensors are windows of.

  Attributes:
    dtype: as in `tensors.Tensor`.
    count: of numbers.
    read: returns the numbers, [count].
  """

  def __init__(self, dtype: str, count: int, read: Callable[[], np.ndarray]):
    if not isinstance(count, int) or not 0 <= count < 1 << 63:
      raise pickle.UnpicklingError(f"a storage of {count!r} numbers")
    self.dtype = dtype
    self.count = count
    self.read = read


def names() -> dict[str, Any]:
  """Returns the stand-ins by dotted name."""
  return {name: pickles.Name(name) for name in _DTYPES} | {
    "torch.Size": pickles.Call(tuple),
    "torch._utils._rebuild_tensor": pickles.Call(_tensor),
    "torch._utils._rebuild_tensor_v2": pickles.Call(_tensor),
    "torch._utils._rebuild_parameter": pickles.Call(lambda data, *_: data),
  }


def dtype_of(storage_type: pickles.Name) -> str:
  """Returns the type of the numbers in a storage."""
  return _DTYPES[storage_type.name]


def _tensor(storage: Storage, offset, shape, strides, *_) -> tensors.Tensor:
  """Returns a window of a storage, having checked that it is inside."""
  if not isinstance(storage, Storage) or len(shape) != len(strides):
    raise pickle.UnpicklingError("a tensor without a storage")
  if not all(isinstance(n, int) and n >= 0 for n in (offset, *shape, *strides)):
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

  return tensors.Tensor(shape=tuple(shape), dtype=storage.dtype, read=read)
