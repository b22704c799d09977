"""Reads the zip archives of torch.save (torch >= 1.6), without torch.

Tensors stay in the file until they are read, one at a time: optimizer states
cost nothing, and what is in memory at once is one tensor.
"""

import collections
import io
import pickle
import zipfile
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

_SCRIPT = (
  "this is TorchScript, a program with its weights inside (torch.jit.save); "
  "this makes a good file: "
  'torch.save(torch.jit.load("{name}").state_dict(), "weights.pth").'
)
_EXPORTED = (
  "this is an exported program (torch.export.save), not weights alone; this "
  "makes a good file: "
  'torch.save(torch.export.load("{name}").state_dict, "weights.pth").'
)
# What tells torch's other archives apart, by the end of an entry's name.
_PROGRAMS = {
  "/constants.pkl": _SCRIPT,
  "serialized_exported_program.json": _EXPORTED,
  "/models/model.json": _EXPORTED,
  "/archive_format": _EXPORTED,
}


def read(file: IO[bytes], unknown: collections.Counter[str], name: str) -> Any:
  """Returns the tree that torch.save was given.

  Args:
    file: stays open for as long as tensors are read.
    unknown: is told the classes that are not rebuilt.
    name: of the file, for messages.

  Raises:
    UserError: if the archive is damaged, refused, or not torch's.
  """
  try:
    archive = zipfile.ZipFile(file)
    size = file.seek(0, io.SEEK_END)
  except Exception as error:  # zipfile raises nearly every kind.
    raise _damaged("the archive is cut short or damaged", error) from error
  return _Archive(archive, size, name).tree(unknown)


class _Archive:
  """A zip archive with a pickle and one entry for each storage."""

  def __init__(self, archive: zipfile.ZipFile, size: int, name: str):
    self._archive = archive
    self._size = size
    self._entries = {info.filename: info for info in archive.infolist()}
    for ending, message in _PROGRAMS.items():
      if any(entry.endswith(ending) for entry in self._entries):
        raise errors.UserError(message.format(name=name))
    pickled = [entry for entry in self._entries if entry.endswith("/data.pkl")]
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
      byteorder in self._entries
      and self._bytes(self._entries[byteorder]) == b"big"
    )

  def tree(self, unknown: collections.Counter[str]) -> Any:
    program = self._bytes(self._entries[f"{self._folder}data.pkl"])
    return pickles.load(
      io.BytesIO(program),
      names=torch_tensors.names() | numpy_arrays.names(),
      persistent_load=self._storage,
      unknown=unknown,
    )

  def _storage(self, pid: Any) -> torch_tensors.Storage | Unknown:
    dtype, key, count, _ = torch_tensors.reference(pid, 5)
    if isinstance(dtype, Unknown):
      return dtype
    entry = self._entries.get(f"{self._folder}data/{key}")
    if entry is None:
      raise pickle.UnpicklingError(f"no storage {excerpts.excerpt(key)}")
    storage = torch_tensors.Storage(
      dtype, count, lambda: self._numbers(entry, dtype)
    )
    if entry.file_size != count * tensors.item_size(dtype):
      raise pickle.UnpicklingError(
        f"storage {excerpts.excerpt(key)} of another length"
      )
    return storage

  def _numbers(self, entry: zipfile.ZipInfo, dtype: str) -> np.ndarray:
    data = self._bytes(entry)
    if len(data) % tensors.item_size(dtype):
      raise errors.UserError("the archive is cut short; fetch it again.")
    return tensors.from_bytes(data, dtype, big_endian=self._big_endian)

  def _bytes(self, entry: zipfile.ZipInfo) -> bytes:
    """Returns what an entry holds; zipfile checks its CRC-32."""
    name = excerpts.excerpt(entry.filename)
    # An entry's own header counts for nothing: its sizes are the directory's.
    if entry.compress_size != entry.file_size or entry.file_size > self._size:
      raise errors.UserError(
        f"{name} in the archive is damaged (its size); fetch the file again."
      )
    try:
      return self._archive.read(entry)
    except Exception as error:  # zipfile raises nearly every kind.
      raise _damaged(f"{name} in the archive is damaged", error) from error


def _damaged(what: str, error: Exception) -> errors.UserError:
  reason = excerpts.excerpt(str(error) or type(error).__name__)
  return errors.UserError(f"{what} ({reason}); fetch the file again.")
