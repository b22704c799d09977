"""Reading that fails readably: an error that names the example at fault.

TensorFlow's own error says what is wrong, but not with which file. Carrying
names along costs time on every image; here the failed batch is read again,
one example at a time, to find the one.
"""

from __future__ import annotations

import atexit
import contextlib
import re
import weakref
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.data.images import decode
from van_jax.data.sources.split import Split
from van_jax.data.tensorflow import tf

# Closed before the interpreter ends: their threads call Python, and those that
# still run then would wait for its lock for ever.
_reading: weakref.WeakSet = weakref.WeakSet()


@atexit.register
def _close() -> None:
  for reader in list(_reading):
    with contextlib.suppress(ValueError):  # A thread is in it.
      reader.close()


def batches(
  dataset: Any,
  order_from: Callable[[int], Any],
  split: Split,
  batch_size: int,
  *,
  remedy: str = "replace or remove it",
) -> Iterator[dict[str, np.ndarray]]:
  """Returns an iterator over `dataset` that names what cannot be read.

  Args:
    dataset: a tf.data.Dataset of batches.
    order_from: from the number of batches done to the tf.data.Dataset of
      (..., index, handle) that `dataset` would read next.
    split: what `dataset` reads.
    batch_size: examples a batch.
    remedy: what to do about a damaged example.
  """
  reader = _read(dataset, order_from, split, batch_size, remedy)
  _reading.add(reader)
  return reader


def _read(
  dataset: Any,
  order_from: Callable[[int], Any],
  split: Split,
  batch_size: int,
  remedy: str,
) -> Generator[dict[str, np.ndarray]]:
  done = 0
  iterator = dataset.as_numpy_iterator()
  while True:
    try:
      batch = next(iterator)
    except StopIteration:
      return
    except tf.errors.OpError as error:
      culprit = _culprit(order_from(done).take(batch_size), split, remedy)
      message = culprit or (
        f"{split.title} cannot be read: {_reason(error)}. Files of it are "
        f"damaged; replace them, or prepare the data set again."
      )
    else:
      done += 1
      yield batch
      continue
    # Out of the except clause, for a traceback without TensorFlow's.
    raise errors.UserError(message)


def _culprit(dataset: Any, split: Split, remedy: str) -> str | None:
  """Returns what is wrong with the first bad example of `dataset`."""
  iterator = iter(dataset)
  while True:
    try:
      *_, index, handle = next(iterator)
    except (StopIteration, tf.errors.OpError):
      return None
    name = split.describe(int(index))
    try:
      encoded = split.fetch(handle)["image"]
    except tf.errors.OpError as error:
      return f"{name} cannot be read: {_reason(error)}"
    try:
      decode.decode(encoded)
    except tf.errors.OpError as error:
      return (
        f"{name} is damaged or not an image ({len(encoded.numpy())} bytes): "
        f"{_reason(error)}; {remedy}."
      )


def _reason(error: Any) -> str:
  """Returns the first line of a TensorFlow error, without its graph's names."""
  line = error.message.strip().splitlines()[0]
  line = re.sub(r"\{\{.*?\}\}|\[Op:.*?\]", "", line)
  return line.strip().rstrip(".")[:300]
