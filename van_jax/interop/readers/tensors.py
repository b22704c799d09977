"""A tensor that is still in its file: shape and type now, numbers on demand."""

from collections.abc import Callable

import numpy as np


class Tensor:
  """One entry of a weight file.

  Attributes:
    shape: as the file has it.
    dtype: NumPy's name, or "bfloat16".
    read: returns the numbers; bfloat16 as the float32 that they are.
  """

  def __init__(
    self,
    *,
    shape: tuple[int, ...],
    dtype: str,
    read: Callable[[], np.ndarray],
  ):
    self.shape = shape
    self.dtype = dtype
    self.read = read


def as_bfloat16(tensor: Tensor) -> Tensor:
  """Returns a tensor whose uint16 numbers are the bits of bfloat16 ones."""
  return Tensor(
    shape=tensor.shape,
    dtype="bfloat16",
    read=lambda: (tensor.read().astype(np.uint32) << 16).view(np.float32),
  )


def item_size(dtype: str) -> int:
  """Returns the bytes that one number takes."""
  return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def from_bytes(
  data: bytes, dtype: str, *, big_endian: bool = False
) -> np.ndarray:
  """Returns the numbers in some bytes, [N]; bfloat16 as float32."""
  order = ">" if big_endian else "<"
  if dtype == "bfloat16":  # The upper half of a float32.
    halves = np.frombuffer(data, f"{order}u2").astype(np.uint32)
    return (halves << 16).view(np.float32)
  return np.frombuffer(data, np.dtype(dtype).newbyteorder(order))
