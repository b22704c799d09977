"""Parts of record files: which records they are, and how they are read."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from van_jax.data.tensorflow import tf


@dataclasses.dataclass(frozen=True)
class Pieces:
  """Parts of record files, one after another; int64 arrays [P].

  Attributes:
    file: number of the file.
    skip: records of the file before the piece.
    take: records in the piece.
    first: index in the split of the piece's first record.
  """

  file: np.ndarray
  skip: np.ndarray
  take: np.ndarray
  first: np.ndarray

  def between(self, start: int, stop: int) -> Pieces:
    """Cuts out the records start <= index < stop; keeps P, some empty."""
    begin = np.clip(start - self.first, 0, self.take)
    end = np.clip(stop - self.first, 0, self.take)
    return Pieces(self.file, self.skip + begin, end - begin, self.first + begin)

  def stack(self) -> np.ndarray:
    """Returns the non-empty pieces as [4, P']."""
    rows = np.stack([self.file, self.skip, self.take, self.first])
    return rows[:, self.take > 0]


def read_piece(file: Any, skip: Any, take: Any, first: Any) -> Any:
  """Returns the tf.data.Dataset of (index, record) of a part of a file."""
  records = tf.data.TFRecordDataset(file, buffer_size=2**18)
  index = tf.data.Dataset.range(first - skip, first + take)
  # Not skip(): on a TFRecordDataset it ends TensorFlow 2.21 by a segmentation
  # fault once in a few runs.
  return tf.data.Dataset.zip((index, records)).filter(
    lambda index, _: index >= first
  )
