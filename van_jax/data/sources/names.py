"""The names of millions of files, in few bytes each."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from van_jax.data.tensorflow import tf


@dataclasses.dataclass(frozen=True, eq=False)
class Names(Sequence):
  """A sequence of "FOLDER/NAME", made by `pack`.

  A file takes the bytes of its NAME and 8 more: 28 for ImageNet's names, where
  a list of strings takes 90.

  Attributes:
    folders: [F], in the order of their files.
    first: [F + 1] int64, number of each folder's first file; F ends the last.
    text: all NAMEs, one after another, encoded.
    ends: [N + 1] int64, where each NAME starts in `text`; N ends the last.
  """

  folders: tuple[str, ...]
  first: np.ndarray
  text: bytes
  ends: np.ndarray

  def __len__(self) -> int:
    return len(self.ends) - 1

  def __getitem__(self, index: Any) -> Any:
    if isinstance(index, slice):
      return [self[i] for i in range(*index.indices(len(self)))]
    index = range(len(self))[index]  # Counts from the end, or IndexError.
    folder = bisect.bisect_right(self.first, index) - 1
    name = self.text[self.ends[index] : self.ends[index + 1]]
    return f"{self.folders[folder]}/{os.fsdecode(name)}"

  def __iter__(self) -> Iterator[str]:
    for folder, names in self.each():
      yield from (f"{folder}/{name}" for name in names)

  def __eq__(self, other: object) -> bool:
    if not isinstance(other, Names):
      return NotImplemented
    return (
      self.text == other.text
      and np.array_equal(self.ends, other.ends)
      and self.folders == other.folders
      and np.array_equal(self.first, other.first)
    )

  __hash__ = None  # type: ignore[assignment]

  def each(self) -> Iterator[tuple[str, list[str]]]:
    """Iterates over the folders: (FOLDER, its NAMEs)."""
    for i, folder in enumerate(self.folders):
      ends = self.ends[self.first[i] : self.first[i + 1] + 1].tolist()
      pairs = itertools.pairwise(ends)
      yield folder, [os.fsdecode(self.text[a:b]) for a, b in pairs]

  def tensors(self) -> tuple[Any, ...]:
    """Returns what `look_up` takes: a second copy, held by TensorFlow."""
    return (
      tf.constant([f"{folder}/" for folder in self.folders]),
      tf.constant(self.first),
      tf.constant(self.text),
      tf.constant(self.ends),
    )


def pack(
  folders: Sequence[str], names: Iterator[list[str]] | Sequence[list[str]]
) -> Names:
  """Packs each folder's names; reads them folder by folder."""
  text, first, sizes = bytearray(), [0], []
  for _, some in zip(folders, names, strict=True):
    encoded = [os.fsencode(name) for name in some]
    text += b"".join(encoded)
    sizes.append(np.fromiter(map(len, encoded), np.int64, len(encoded)))
    first.append(first[-1] + len(encoded))
  ends = np.zeros(first[-1] + 1, np.int64)
  np.cumsum(np.concatenate([*sizes, np.zeros(0, np.int64)]), out=ends[1:])
  return Names(tuple(folders), np.array(first), bytes(text), ends)


def look_up(tensors: tuple[Any, ...], index: Any) -> Any:
  """Returns "FOLDER/NAME" of an index, [] int64, as a [] string."""
  folders, first, text, ends = tensors
  folder = tf.searchsorted(first, [index], side="right")[0] - 1
  begin, end = ends[index], ends[index + 1]
  return folders[folder] + tf.strings.substr(text, begin, end - begin)
