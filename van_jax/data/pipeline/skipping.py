"""Training that goes on past damaged images: others take their places.

In training a damaged example becomes a copy of the next good one of its batch
(the first one after the last), so that a batch still is a function of (seed,
step). With several processes each does so in its part of the batch. A copy of a
data set leaves it out. Both cost some time on every image, and are done only
where it was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from absl import logging

from van_jax import errors
from van_jax.data.pipeline import grouping, readable
from van_jax.data.sources.split import IndexedSplit, Split
from van_jax.data.tensorflow import tf

# Images in work at a time: some that wait, so that no core does.
_AT_ONCE = 4 * (os.cpu_count() or 1)


def map_marking(
  dataset: Any,
  example: grouping.Example,
  finish: grouping.Finish,
  *,
  image_size: int,
  batch_size: int,
) -> Any:
  """Maps the elements of a dataset, batches them, and marks where that fails.

  Arguments and result as of `grouping.map_batches`; the elements end with
  index and handle, and the result has "index": int64 [B] and "damaged": bool
  [B] too, with black images where it failed.
  """

  def good(*arguments):
    pixels, numbers, rest = example(*arguments)
    images = grouping.finished([pixels], [numbers], finish, image_size)
    return {"image": images[0]} | rest

  return marked(dataset, good).batch(batch_size)


def marked(dataset: Any, make: Callable[..., dict[str, Any]]) -> Any:
  """Maps the elements of a dataset, in order, and marks where that fails.

  Args:
    dataset: a tf.data.Dataset; its elements end with index and handle.
    make: from an element to tensors by name; runs in a graph.

  Returns:
    The tf.data.Dataset of these, with "index": int64 [] and "damaged": bool []
    beside them. Where it failed all else is zeros, or empty strings.
  """

  def good(*arguments):
    return make(*arguments) | {"index": arguments[-2], "damaged": False}

  def one(*arguments):
    alone = tf.data.Dataset.from_tensors(arguments)
    tried = alone.map(good).ignore_errors()

    def damaged(*arguments):
      spec = tried.element_spec
      zeros = {k: tf.zeros(spec[k].shape, spec[k].dtype) for k in spec}
      return zeros | {"index": arguments[-2], "damaged": True}

    return tried.concatenate(alone.map(damaged)).take(1)

  return dataset.interleave(
    one,
    cycle_length=_AT_ONCE,
    num_parallel_calls=tf.data.AUTOTUNE,
    deterministic=True,
  )


def repaired(
  batches: Iterator[dict[str, np.ndarray]],
  split: Split,
  examine: readable.Examine | None = None,
) -> Iterator[dict[str, np.ndarray]]:
  """Replaces the damaged examples of batches; logs each once, with its name.

  Args:
    batches: of what `map_marking` returns.
    split: what they are read from.
    examine: looks at what goes with an image that can be read.

  Yields:
    The rest of them, "image" [B, S, S, 3] and what belongs to it.

  Raises:
    UserError: a batch has no good example, or an image failed that is not
      damaged: for lack of a permission, say, or of a network.
  """
  known: set[int] = set()
  for batch in batches:
    _tell(batch, split, known, examine)
    names = batch.keys() - {"index", "damaged"}
    yield {name: _replaced(batch, name, split) for name in names}


def left_out(
  batches: Iterator[dict[str, np.ndarray]], split: Split, known: set[int]
) -> Iterator[dict[str, np.ndarray]]:
  """Leaves the damaged examples of batches out; logs each, with its name.

  Args:
    batches: of what `marked` returns.
    split: what they are read from.
    known: damaged examples met so far; those that are found are added.

  Yields:
    The rest, "index" among it: shorter batches, or empty ones.

  Raises:
    UserError: an image failed that is not damaged.
  """
  for batch in batches:
    _tell(batch, split, known)
    good = ~batch["damaged"]
    yield {name: batch[name][good] for name in batch.keys() - {"damaged"}}


def _tell(
  batch: dict[str, np.ndarray],
  split: Split,
  known: set[int],
  examine: readable.Examine | None = None,
) -> None:
  """Logs a batch's damaged examples that are not known, and adds them."""
  for index in batch["index"][batch["damaged"]].tolist():
    if index not in known:
      known.add(index)
      _check_damaged(split, index, examine)
      logging.warning(
        "%s is damaged, and skipped; %d so far.",
        split.describe(index),
        len(known),
      )


def _check_damaged(
  split: Split, index: int, examine: readable.Examine | None
) -> None:
  """Raises UserError where an image failed that is not damaged."""
  if not isinstance(split, IndexedSplit):
    return  # Its examples came along with the order, so were in reach.
  handle = tf.constant(index, tf.int64)
  found = readable.fault(split, index, handle, "replace it", examine)
  if found is None:
    raise errors.UserError(
      f"{split.describe(index)} failed and can be read now, so that it is not "
      "damaged: storage that fails at times does this, or an augmentation "
      "operation of one's own; mend that, and start again."
    )
  if not found.damaged:
    raise errors.UserError(found.message)


def _replaced(
  batch: dict[str, np.ndarray], name: str, split: Split
) -> np.ndarray:
  damaged, values = batch["damaged"], batch[name]
  if not damaged.any():
    return values
  good = np.flatnonzero(~damaged)
  if not len(good):
    raise errors.UserError(
      f"none of the {len(damaged)} images of a batch can be read, among them "
      f"{split.describe(int(batch['index'][0]))}; on_damaged='skip' needs one "
      f"that can. Look at the data set."
    )
  place = np.searchsorted(good, np.arange(len(damaged)))
  return values[good[place % len(good)]]
