"""Batches for training, as NumPy arrays on the host."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from etils import epy

from van_jax import errors
from van_jax.data import arguments
from van_jax.data.augment import crop
from van_jax.data.augment.dense_options import DenseAugmentation
from van_jax.data.augment.options import Augmentation
from van_jax.data.pipeline import dense_train, grouping, readable, skipping
from van_jax.data.sources.open import Source
from van_jax.data.sources.split import Share, Split, fetch_parts
from van_jax.data.tensorflow import tf

with epy.lazy_imports():
  from van_jax.data.augment import render

Batch = dict[str, np.ndarray]


def train_batches(
  source: Source,
  *,
  augmentation: Augmentation | DenseAugmentation | None = None,
  batch_size: int = 1024,
  seed: int = 0,
  start_step: int = 0,
  process_index: int = 0,
  process_count: int = 1,
) -> Iterator[Batch]:
  """Returns the endless training batches from `start_step` on.

  The batch of a step is a function of (seed, step) and of the options; the
  processes' parts of it make up the same set for any number of processes. An
  epoch is num_train // batch_size steps; what is left over (less than a
  batch, others in every epoch) is not shown in it. `split.py` and
  `record_split.py` say how examples are shuffled and what starting late costs.

  Args:
    source: opened with a training split.
    augmentation: what is done to each image; of images with masks to both. The
      official recipe if None.
    batch_size: examples a step, over all processes.
    seed: of order and augmentation, >= 0.
    start_step: the first step to return, from 0: the number of steps done.
    process_index: this process.
    process_count: all processes; divides batch_size.

  Yields:
    {"image": uint8 [B / process_count, S, S, 3], S = image_size, "label": int32
    [B / process_count]}, or what else the source has beside its images. Of
    images with masks "label" is uint8 [B / process_count, S, S], 255 for void.
  """
  how = augmentation or (
    DenseAugmentation() if source.has_masks else Augmentation()
  )
  share = Share(
    batch_size=batch_size,
    start_step=start_step,
    process_index=process_index,
    process_count=process_count,
    repeats=1 if isinstance(how, DenseAugmentation) else how.repeats,
  )
  split = _checked_training(source, share, seed)
  source.check_kind(isinstance(how, DenseAugmentation), type(how).__name__)
  skip = source.on_damaged == "skip"
  if isinstance(how, DenseAugmentation):
    return dense_train.batches(
      split, seed, share, how, exif_rotation=source.exif_rotation, skip=skip
    )
  decode_crop = crop.cropper(how, exif_rotation=source.exif_rotation)
  return _train_iterator(split, seed, share, how, decode_crop, skip=skip)


def _train_iterator(
  split: Split,
  seed: int,
  share: Share,
  how: Augmentation,
  decode_crop: Callable[[Any, Any], tuple[Any, Any]],
  *,
  skip: bool,
) -> Iterator[Batch]:
  finish = render.compile_renderer(how)

  def example(epoch, repetition, index, handle):
    encoded, parts = fetch_parts(split, handle)
    key = tf.stack([tf.constant(seed, tf.int64), epoch])
    key = tf.random.fold_in(key, index * share.repeats + repetition)
    image, draws = decode_crop(encoded, key)
    return image, draws, parts

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
    grouping.ahead(dataset),
    order_from,
    split,
    size,
    # Removing it would move others.
    remedy="replace it, or set data.on_damaged='skip'",
  )
  return skipping.repaired(batches, split) if skip else batches


def _checked_training(source: Source, share: Share, seed: int) -> Split:
  """Returns the training split, or raises UserError."""
  if source.train is None:
    raise errors.UserError(
      f"source {source.name!r} was opened with train_split=None; name the "
      f"split to train on."
    )
  arguments.check_processes(
    share.batch_size, share.process_index, share.process_count
  )
  if share.batch_size > source.num_train:
    raise errors.UserError(
      f"batch_size={share.batch_size} must be at most the number of training "
      f"examples, {source.num_train}; lower it."
    )
  arguments.check_whole("seed", seed, 0)
  arguments.check_whole("start_step", share.start_step, 0)
  if not source.train.has_labels:
    raise errors.UserError(
      f"{source.train.title} has no labels to learn from "
      "(data.options.unlabelled=True); leave that out."
    )
  return source.train
