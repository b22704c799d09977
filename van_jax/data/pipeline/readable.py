"""Reading that fails readably: an error that names the example at fault.

TensorFlow's own error says what is wrong, but not with which file. Carrying
names along costs time on every image; here the failed batch is read again,
one example at a time, to find the one.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import re
import weakref
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

import numpy as np

from van_jax import errors
from van_jax.data.images import decode, reading
from van_jax.data.sources.split import Split
from van_jax.data.tensorflow import tf

# Closed before the interpreter ends: their threads call Python, and those that
# still run then would wait for its lock for ever.
_reading: weakref.WeakSet = weakref.WeakSet()

# From an example's parts to what is wrong with them, or None.
Examine = Callable[[dict[str, Any]], str | None]


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
  examine: Examine | None = None,
) -> Iterator[dict[str, np.ndarray]]:
  """Returns an iterator over `dataset` that names what cannot be read.

  Args:
    dataset: a tf.data.Dataset of batches.
    order_from: from the number of batches done to the tf.data.Dataset of
      (..., index, handle) that `dataset` would read next.
    split: what `dataset` reads.
    batch_size: examples a batch.
    remedy: what to do about a damaged example.
    examine: looks at what goes with an image that can be read.
  """
  find = functools.partial(
    _culprit, split=split, remedy=remedy, examine=examine
  )
  reader = _read(dataset, order_from, split, batch_size, find)
  _reading.add(reader)
  return reader


def _read(
  dataset: Any,
  order_from: Callable[[int], Any],
  split: Split,
  batch_size: int,
  find: Callable[[Any], str | None],
) -> Generator[dict[str, np.ndarray]]:
  done = 0
  iterator = dataset.as_numpy_iterator()
  while True:
    try:
      batch = next(iterator)
    except StopIteration:
      return
    except tf.errors.OpError as error:
      culprit = find(order_from(done).take(batch_size))
      message = culprit or (
        f"{split.title} cannot be read: {_reason(error, split.title)}. Files "
        f"of it are damaged; replace them, or prepare the data set again."
      )
    else:
      done += 1
      yield batch
      continue
    # Out of the except clause, for a traceback without TensorFlow's.
    raise errors.UserError(message)


def _culprit(
  dataset: Any, split: Split, remedy: str, examine: Examine | None
) -> str | None:
  """Returns what is wrong with the first bad example of `dataset`."""
  iterator = iter(dataset)
  while True:
    try:
      *_, index, handle = next(iterator)
    except (StopIteration, tf.errors.OpError):
      return None
    found = fault(split, int(index), handle, remedy, examine)
    if found:
      return found.message


class Fault(NamedTuple):
  """What is wrong with an example.

  Attributes:
    message: the whole of it, with the remedy.
    damaged: whether it is the example that is damaged or gone; else it is out
      of reach, and may be whole.
  """

  message: str
  damaged: bool


# What TensorFlow says of a file that is gone, or is none.
_GONE = ("NotFoundError", "FailedPreconditionError", "OutOfRangeError")


def fault(
  split: Split,
  index: int,
  handle: Any,
  remedy: str,
  examine: Examine | None = None,
) -> Fault | None:
  """Returns what is wrong with an example; None if it can be read.

  Args:
    split: that it is of.
    index: its number.
    handle: what the split fetches it by.
    remedy: what to do about a damaged one.
    examine: looks at what goes with an image that can be read.
  """
  name = split.describe(index)
  try:
    parts = split.fetch(handle)
    encoded = parts["image"]
  except tf.errors.OpError as error:
    damaged = type(error).__name__ in (*_GONE, "DataLossError")
    if isinstance(error, tf.errors.PermissionDeniedError):
      remedy = "make it readable, by `chmod -R u+rX` of its folder say"
    elif not damaged:
      remedy = "see to its storage, and start again"
    message = f"{name} cannot be read: {_reason(error, name)}; {remedy}."
    return Fault(message, damaged)
  try:
    decode.decode(encoded)
  except errors.UserError as error:
    reason = str(error)
  except tf.errors.OpError as error:
    # As `preprocess_image` says it, but where TensorFlow is stricter.
    reason = reading.complaint(encoded.numpy()) or _reason(error, name)
  else:
    reason = examine(parts) if examine else None
    return Fault(f"{name}: {reason}; {remedy}.", True) if reason else None
  line = reading.unreadable(name, len(encoded.numpy()), reason)
  return Fault(f"{line}; {remedy}.", True)


def _reason(error: Any, name: str) -> str:
  """Returns the first line of a TensorFlow error, without its graph's names.

  Args:
    error: from a graph, or from a single operation.
    name: of what cannot be read; it is left out.
  """
  line = error.message.strip().splitlines()[0]
  line = re.sub(r"\{\{.*?\}\}|\[Op:.*?\]( name:)?", "", line)
  line = line.replace(f"{name}; ", "").replace(name, "it")
  return line.strip().rstrip(".")[:300]
