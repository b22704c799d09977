"""Batches of few sizes: a size is compiled once, and serves many lists."""

from collections.abc import Sequence

import numpy as np


def filled(batch: Sequence[np.ndarray], batch_size: int) -> np.ndarray:
  """Returns a batch of a power of two, if below `batch_size`, with zeros.

  Args:
    batch: arrays of one shape, at least one and at most `batch_size`.
    batch_size: of a whole batch.
  """
  size = min(1 << (len(batch) - 1).bit_length(), batch_size)
  whole = np.zeros((size, *batch[0].shape), batch[0].dtype)
  whole[: len(batch)] = batch
  return whole
