"""Reads the zip archives of torch.save (torch >= 1.6), without torch.

Tensors stay in the file until they are read, one at a time: optimizer states
cost nothing, and what is in memory at once is one tensor.
"""

import pickle
import zipfile
from typing import IO, Any

import numpy as np

from van_jax import errors
from van_jax.interop.readers import pickles, tensors, torch_tensors


def read(file: IO[bytes]) -> Any:
  """Returns the tree that torch.save was given.

  Args:
    file: stays open for as long as tensors are read.

  Raises:
    UserError: if the archive is damaged, refused, or not torch's.
  """
  try:
    return _Archive(zipfile.ZipFile(file)).tree()
  except (zipfile.BadZipFile, RuntimeError) as error:  # Encrypted, or newer.
    raise errors.UserError(
      f"the archive is cut short or damaged ({error}); fetch the file again."
    ) from error


class _Archive:
  """A zip archive with a pickle and one entry for each storage."""

  def __init__(self, archive: zipfile.ZipFile):
    self._archive = archive
    self._entries = {info.filename: info for info in archive.infolist()}
    pickled = [name for name in self._entries if name.endswith("/data.pkl")]
    if len(pickled) != 1:
      raise errors.UserError(
        "the archive has no data.pkl, so torch.save did not write it; give "
        "the file of weights itself."
      )
    if any(info.compress_type for info in self._entries.values()):
      raise errors.UserError(
        "the archive is compressed, which torch.save's are not; unpack it and "
        "give the file of weights itself."
      )
    self._folder = pickled[0].removesuffix("data.pkl")
    byteorder = f"{self._folder}byteorder"
    self._big_endian = (
      byteorder in self._entries and self._archive.read(byteorder) == b"big"
    )

  def tree(self) -> Any:
    with self._archive.open(f"{self._folder}data.pkl") as file:
      return pickles.load(
        file,
        names=torch_tensors.names() | pickles.numpy_names(),
        persistent_load=self._storage,
      )

  def _storage(self, pid: Any) -> torch_tensors.Storage:
    kind, storage_type, key, _, count = pid
    if kind != "storage":
      raise pickle.UnpicklingError(f"a reference to a {kind!r}")
    dtype = torch_tensors.dtype_of(storage_type)
    entry = self._entries[f"{self._folder}data/{key}"]
    if entry.file_size != count * tensors.item_size(dtype):
      raise pickle.UnpicklingError(f"storage {key} of another length")
    return torch_tensors.Storage(
      dtype, count, lambda: self._numbers(entry, dtype)
    )

  def _numbers(self, entry: zipfile.ZipInfo, dtype: str) -> np.ndarray:
    try:
      data = self._archive.read(entry)  # Checks its CRC-32.
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError) as error:
      raise errors.UserError(
        f"{entry.filename} in the archive is damaged ({error}); fetch the file "
        "again."
      ) from error
    return tensors.from_bytes(data, dtype, big_endian=self._big_endian)
