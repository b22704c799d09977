"""Reads torch.save's older format (before 1.6, and mmcls), without torch.

Five pickles (magic number, protocol, system, the tree, the storages' keys),
then each storage: its count as int64, and its numbers, little-endian.
"""

import collections
import io
import pickle
import re
import struct
from typing import IO, Any

import numpy as np

from van_jax import errors
from van_jax.interop.readers import (
  excerpts,
  numpy_arrays,
  pickles,
  tensors,
  torch_tensors,
)
from van_jax.interop.readers.pickle_values import Unknown

# The first pickle of every such file; torch/serialization.py. Protocols from 4
# on put a frame around it.
_MAGIC = re.compile(
  rb"\x80[\x02-\x05](\x95.{8})?\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL
)


def is_legacy(head: bytes) -> bool:
  """Returns whether a file that starts like this is one of these."""
  return bool(_MAGIC.match(head))


def read(file: IO[bytes], unknown: collections.Counter[str]) -> Any:
  """Returns the tree that torch.save was given.

  Args:
    file: at its start; stays open for as long as tensors are read.
    unknown: is told the classes that are not rebuilt.

  Raises:
    UserError: if the file is damaged or refused.
  """
  return _File(file).tree(unknown)


class _File:
  """A file of pickles, followed by storages."""

  def __init__(self, file: IO[bytes]):
    self._file = file
    self._storages: dict[str, torch_tensors.Storage] = {}
    self._offsets: dict[str, int] = {}

  def tree(self, unknown: collections.Counter[str]) -> Any:
    for _ in range(3):
      pickles.load(self._file, names={})
    tree = pickles.load(
      self._file,
      names=torch_tensors.names() | numpy_arrays.names(),
      persistent_load=self._storage,
      unknown=unknown,
    )
    keys = pickles.load(self._file, names={})
    if not isinstance(keys, list) or not {*map(type, keys)} <= {str}:
      raise errors.UserError(
        "its list of storages is damaged; fetch the file again."
      )
    position = self._file.tell()
    size = self._file.seek(0, io.SEEK_END)
    for key in keys:
      position = self._locate(key, position, size)
    if missing := self._storages.keys() - self._offsets.keys():
      raise errors.UserError(
        f"storage {excerpts.excerpt(min(missing))} is missing; fetch it again."
      )
    return tree

  def _storage(self, pid: Any) -> torch_tensors.Storage | Unknown:
    if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module":
      return pid[1]  # The class of a module; its source is beside it.
    dtype, key, count, view = torch_tensors.reference(pid, 6)
    if isinstance(dtype, Unknown):
      raise errors.UserError(
        f"it has numbers of the type {excerpts.excerpt(dtype.name)}, which "
        "are not read in this older container; save the state_dict alone."
      )
    if view != (None,):
      raise pickle.UnpicklingError("a view of a storage")
    return self._storages.setdefault(
      key,
      torch_tensors.Storage(
        dtype, count, lambda: self._numbers(key, dtype, count)
      ),
    )

  def _locate(self, key: str, position: int, size: int) -> int:
    """Notes where a storage starts; returns where it ends."""
    self._file.seek(position)
    head = self._file.read(8)
    storage = self._storages.get(key)
    if storage is None or head != struct.pack("<q", storage.count):
      raise errors.UserError(
        "the file is cut short or damaged at storage "
        f"{excerpts.excerpt(key)}; fetch it again."
      )
    self._offsets[key] = position + 8
    end = position + 8 + storage.count * tensors.item_size(storage.dtype)
    if end > size:
      raise errors.UserError(
        f"the file is cut short in storage {excerpts.excerpt(key)}; fetch it "
        "again."
      )
    return end

  def _numbers(self, key: str, dtype: str, count: int) -> np.ndarray:
    self._file.seek(self._offsets[key])
    data = self._file.read(count * tensors.item_size(dtype))
    return tensors.from_bytes(data, dtype)
