"""Batches for training and for evaluation, as NumPy arrays on the host."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from etils import epy

from van_jax.data import (
  augment,
  checks,
  decode,
  grouping,
  order,
  readable,
  skipping,
)
from van_jax.data.augmentation import Augmentation
from van_jax.data.host import tf
from van_jax.data.preprocessing import Preprocessing
from van_jax.data.source import Source

with epy.lazy_imports():
  from van_jax.data import render

Batch = dict[str, np.ndarray]


def train_batches(
  source: Source,
  *,
  augmentation: Augmentation,
  batch_size: int,
  seed: int,
  start_step: int = 0,
  process_index: int = 0,
  process_count: int = 1,
) -> Iterator[Batch]:
  """Returns the endless training batches from `start_step` on.

  The batch of a step is a function of (seed, step) and of the options; the
  processes' parts of it make up the same set for any number of processes. An
  epoch is num_train // batch_size steps; what is left over (less than a
  batch, others in every epoch) is not shown in it. `order.py` and
  `stripes.py` say how examples are shuffled and what starting late costs.

  Args:
    source: opened with a training split.
    augmentation: what is done to each image.
    batch_size: examples a step, over all processes.
    seed: of order and augmentation, >= 0.
    start_step: the first step to return, from 0: the number of steps done.
    process_index: this process.
    process_count: all processes; divides batch_size.

  Yields:
    {"image": uint8 [B / process_count, S, S, 3], S = image_size,
    "label": int32 [B / process_count]}
  """
  share = order.Share(
    batch_size=batch_size,
    start_step=start_step,
    process_index=process_index,
    process_count=process_count,
    repeats=augmentation.repeats,
  )
  split = _checked_training(source, share, seed)
  skip = source.on_damaged == "skip"
  return _train_iterator(split, seed, share, augmentation, skip=skip)


def eval_batches(
  source: Source,
  *,
  batch_size: int,
  preprocessing: Preprocessing,
  process_index: int = 0,
  process_count: int = 1,
) -> EvalBatches:
  """Returns the batches of one pass over the evaluation split.

  Every example comes once, in one process. Every process gets the same number
  of batches, filled up with masked zeros.

  Args:
    source: opened with an evaluation split.
    batch_size: examples a step, over all processes.
    preprocessing: what the weights expect; mean and std are NOT applied.
    process_index: this process.
    process_count: all processes; divides batch_size.

  Returns:
    An object with a length, to be iterated over any number of times:
    {"image": uint8 [B / process_count, image_size, image_size, 3],
    "label": int32 [B / process_count], "mask": bool [B / process_count]}
  """
  if source.evaluation is None:
    raise ValueError(
      f"source {source.name!r} was opened with eval_split=None; name the "
      f"split to evaluate on."
    )
  checks.check_processes(batch_size, process_index, process_count)
  return EvalBatches(
    split=source.evaluation,
    batch_size=batch_size // process_count,
    preprocessing=preprocessing,
    process_index=process_index,
    process_count=process_count,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalBatches:
  """One process's batches; made by `eval_batches`."""

  split: order.Split
  batch_size: int  # Of this process.
  preprocessing: Preprocessing
  process_index: int
  process_count: int

  def __len__(self) -> int:
    return -(-self._examples // self.batch_size)

  def __iter__(self) -> Iterator[Batch]:
    start = min(self.process_index * self._examples, self.split.size)
    stop = min(start + self._examples, self.split.size)

    def example(index, handle):
      del index
      encoded, label = self.split.fetch(handle)
      part, place = decode.decode_centre(encoded, self.preprocessing)
      return part, place, {"label": label, "mask": True}

    def batches(first, last, size):
      return grouping.map_batches(
        self.split.sequence(first, last),
        example,
        functools.partial(decode.crop_centre, to=self.preprocessing),
        image_size=self.preprocessing.image_size,
        batch_size=size,
      )

    left = (stop - start) % self.batch_size
    dataset = batches(start, stop - left, self.batch_size)
    if left:
      dataset = dataset.concatenate(batches(stop - left, stop, left))
    dataset = _ahead(dataset)
    done = 0
    for batch in readable.batches(
      dataset,
      lambda n: self.split.sequence(start + n * self.batch_size, stop),
      self.split,
      self.batch_size,
    ):
      done += 1
      yield self._filled(batch)
    size = self.preprocessing.image_size
    nothing = {
      "image": np.zeros([0, size, size, 3], np.uint8),
      "label": np.zeros([0], np.int32),
      "mask": np.zeros([0], bool),
    }
    for _ in range(done, len(self)):
      yield self._filled(nothing)

  @property
  def _examples(self) -> int:
    """Examples of one process, but for the last processes that get fewer."""
    return -(-self.split.size // self.process_count)

  def _filled(self, batch: Batch) -> Batch:
    missing = self.batch_size - len(batch["label"])
    if not missing:
      return batch
    return {
      name: np.pad(values, [(0, missing)] + [(0, 0)] * (values.ndim - 1))
      for name, values in batch.items()
    }


def _train_iterator(
  split: order.Split,
  seed: int,
  share: order.Share,
  how: Augmentation,
  *,
  skip: bool,
) -> Iterator[Batch]:
  decode_crop = augment.decoder(how)
  finish = render.compile_renderer(how)

  def example(epoch, repetition, index, handle):
    encoded, label = split.fetch(handle)
    key = tf.stack([tf.constant(seed, tf.int64), epoch])
    key = tf.random.fold_in(key, index * share.repeats + repetition)
    image, draws = decode_crop(encoded, key)
    return image, draws, {"label": label}

  def order_from(batches_done):
    start = share.start_step + batches_done
    return split.shuffled(seed, dataclasses.replace(share, start_step=start))

  size = share.examples_per_step
  map_batches = skipping.map_marking if skip else grouping.map_batches
  dataset = map_batches(
    order_from(0),
    example,
    finish,
    image_size=how.image_size,
    batch_size=size,
  )
  batches = readable.batches(
    _ahead(dataset),
    order_from,
    split,
    size,
    remedy="replace it, or set on_damaged='skip'",  # Removing moves others.
  )
  return skipping.repaired(batches, split) if skip else batches


def _ahead(batches: Any) -> Any:
  """Returns the dataset whose batches are made before they are asked for."""
  options = tf.data.Options()
  # Examples are enough to keep all cores busy.
  options.threading.max_intra_op_parallelism = 1
  # Not AUTOTUNE: a batch can have 150 MB.
  return batches.prefetch(2).with_options(options)


def _checked_training(
  source: Source, share: order.Share, seed: int
) -> order.Split:
  """Returns the training split, or raises ValueError."""
  if source.train is None:
    raise ValueError(
      f"source {source.name!r} was opened with train_split=None; name the "
      f"split to train on."
    )
  checks.check_processes(
    share.batch_size, share.process_index, share.process_count
  )
  if share.batch_size > source.num_train:
    raise ValueError(
      f"batch_size={share.batch_size} must be at most the number of training "
      f"examples, {source.num_train}; lower it."
    )
  checks.check_whole("seed", seed, 0)
  checks.check_whole("start_step", share.start_step, 0)
  return source.train
