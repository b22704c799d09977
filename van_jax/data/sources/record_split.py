"""Shuffled reading of large record files, from many places at once.

The records of a split are cut into stripes, of which every batch takes equal
parts; `stripes.py` says which process reads which.

Within a stripe, epoch e permutes the pieces (its files, or parts of them),
starts in the middle of one of them (to which it comes back at the end), and
permutes the records of every window, all drawn from (seed, e, stripe). Windows
of different stripes begin at different times, so that reading is even.
Neighbours in a window stay near each other: TFDS has shuffled the records once,
when it wrote them, and the stripes mix far places into each batch.

Copies of repeated augmentation come from stripes that are far from each other:
place v of a batch shows the stripes v, v - d, v - 2d, ... by turns, d being
stripes // repeats, and every copy is read by itself, as in other recipes every
image is.

Memory: one window a stripe, `shuffle_megabytes` in the windows of all processes
when full, at the average size of the split's records (ImageNet, 512 MB: about
70 records a window), and as much again for each further copy; processes that
share a stripe hold a window each. Records leave a window as they are shown, so
about half of that is held at a time (measured: 290 of 512 MB); to it comes one
batch of records that wait to be decoded. The order depends on
`shuffle_megabytes`.

Starting in the middle of an epoch skips whole files; each stripe reads, without
decoding, at most two files and one window to find its place. On 2,000 small
images the first batch takes as long in mid-epoch as at step 0
(`benchmarks/input_memory.py`).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.data.class_colors import Colors
from van_jax.data.mask_numbering import MaskNumbering
from van_jax.data.sources import record_pieces, stripes as stripes_lib
from van_jax.data.sources.split import Share, Split
from van_jax.data.tensorflow import tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordSplit(Split):
  """A split that is read from its record files as it goes: handle = record.

  Attributes:
    title: for messages.
    files: their paths.
    pieces: what of them belongs to the split.
    parse: from a record, [] string, to an example's parts.
    record_bytes: of a record, on average.
    shuffle_megabytes: what the windows of all stripes hold, 10^6 bytes each.
    class_names: of the labels; () where there are none.
    mask_numbering: of labels that are encoded masks; None where they are not.
    class_colors: of those masks' classes; () for none.
  """

  title: str
  files: tuple[str, ...]
  pieces: record_pieces.Pieces
  parse: Callable[[Any], dict[str, Any]]
  record_bytes: float
  shuffle_megabytes: int
  class_names: tuple[str, ...] = ()
  mask_numbering: MaskNumbering | None = None
  class_colors: Colors = ()

  @property
  def size(self) -> int:
    """Number of examples."""
    return int(self.pieces.take.sum())

  def fetch(self, handle: Any) -> dict[str, Any]:
    """Takes an example out of its record."""
    return self.parse(handle)

  def describe(self, index: int) -> str:
    """Names an example by its file and its place there, from 0."""
    piece = np.searchsorted(self.pieces.first, index, side="right") - 1
    record = self.pieces.skip[piece] + index - self.pieces.first[piece]
    return f"record {record} of {self.files[self.pieces.file[piece]]}"

  def sequence(self, start: int, stop: int) -> Any:
    """Returns the tf.data.Dataset of (index, record)."""
    return self._read(self.pieces.between(start, stop).stack())

  def check_training(self, batch_size: int, process_count: int) -> None:
    """Raises UserError where windows do not suit the batches."""
    del process_count  # Any number of them can share the stripes.
    self.window(batch_size, stripes_lib.count(batch_size))

  def shuffled(self, seed: int, share: Share) -> Any:
    """Returns the endless tf.data.Dataset of what to show, in its order.

    Its elements are (epoch, repetition, index, record).
    """
    stripes = stripes_lib.count(share.batch_size)
    window = self.window(share.batch_size, stripes)
    steps_per_epoch = self.size // share.batch_size
    first_epoch, step = divmod(share.start_step, steps_per_epoch)
    block = share.batch_size // stripes
    tables = self._tables(stripes)
    places = stripes_lib.places(share)
    apart = stripes // share.repeats

    def read_epoch(epoch):
      late = tf.where(epoch == first_epoch, step, 0)
      offset = tf.cast(late, tf.int64) * block

      def read_stripe(stripe):
        key = tf.stack([tf.constant(seed, tf.int64), epoch])
        key = tf.random.fold_in(key, stripe)
        return self._read_shuffled(
          tables[stripe],
          key,
          window=window,
          shift=stripe * window // stripes,
          offset=offset // share.repeats,
        )

      def read_place(place):
        def read_copy(repetition):
          stripe = (place - repetition * apart) % stripes
          return read_stripe(stripe).map(lambda *e: (repetition, *e))

        shown = tf.data.Dataset.range(share.repeats).interleave(
          read_copy, cycle_length=share.repeats, block_length=1
        )
        shown = shown.skip(offset % share.repeats)
        return shown.take(steps_per_epoch * block - offset)

      shown = tf.data.Dataset.range(places.start, places.stop).interleave(
        read_place,
        cycle_length=len(places),
        block_length=block,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
      )
      shown = stripes_lib.take_part(shown, share)
      return shown.map(lambda *example: (epoch, *example))

    return tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(read_epoch)

  def window(self, batch_size: int, stripes: int) -> int:
    """Returns the records that each of `stripes` stripes shuffles at a time."""
    held = self.shuffle_megabytes * 1e6 / self.record_bytes
    if held < min(batch_size, self.size):
      raise errors.UserError(
        f"shuffle_megabytes={self.shuffle_megabytes} must hold a batch of "
        f"{batch_size} records, of {self.record_bytes:.0f} bytes on average in "
        f"{self.title}; raise it to "
        f"{math.ceil(batch_size * self.record_bytes / 1e6)} or more."
      )
    return max(int(min(held, self.size + stripes)) // stripes, 1)

  def _tables(self, stripes: int) -> Any:
    """Returns the pieces of every stripe, [stripes, 4, P], padded by takes 0.

    Stripe v holds the records from v * size // stripes on.
    """
    bounds = [v * self.size // stripes for v in range(stripes + 1)]
    tables = [
      self.pieces.between(start, stop).stack()
      for start, stop in itertools.pairwise(bounds)
    ]
    most = max(table.shape[1] for table in tables)
    return tf.constant(
      np.stack([np.pad(t, [(0, 0), (0, most - t.shape[1])]) for t in tables])
    )

  def _read_shuffled(
    self, table: Any, key: Any, *, window: int, shift: Any, offset: Any
  ) -> Any:
    """Reads a stripe from its `offset`-th shuffled record on.

    Args:
      table: [4, P], the stripe's pieces.
      key: [2] int64, of the stripe in this epoch.
      window: records that are shuffled together.
      shift: [] int64, how much shorter than `window` the first window is.
      offset: [] int64.
    """
    table = tf.gather(table, _permutation(tf.shape(table)[1], key), axis=1)
    size = tf.reduce_sum(table[2])
    at = tf.random.fold_in(key, 0)
    begin = tf.random.stateless_uniform([], at, 0, size, tf.int64)
    number = (offset + shift) // window
    # Records before `first` are in windows that are over.
    first = tf.maximum(number * window - shift, 0)
    table = _cut(tf.tile(table, [1, 2]), begin + first, begin + size)
    # Fillers make the first window shorter; they have the index -1.
    fillers = tf.data.Dataset.range(tf.where(number == 0, shift, 0)).map(
      lambda _: (tf.constant(-1, tf.int64), "")
    )

    def shuffle(number, records):
      index, record = records
      shuffled = _permutation(
        tf.shape(index)[0], tf.random.fold_in(key, 1 + number)
      )
      return tf.gather(index, shuffled), tf.gather(record, shuffled)

    return (
      fillers.concatenate(self._read(table))
      .batch(window)
      .enumerate(number)
      .map(shuffle)
      .unbatch()
      .filter(lambda index, _: index >= 0)
      .skip(offset - first)
    )

  def _read(self, table: Any) -> Any:
    """Reads [4, P] pieces one after another, as (index, record)."""
    files = tf.constant(self.files)

    def read(piece):
      file, skip, take, first = tf.unstack(piece)
      return record_pieces.read_piece(files[file], skip, take, first)

    pieces = tf.data.Dataset.from_tensor_slices(tf.transpose(table))
    return pieces.filter(lambda piece: piece[2] > 0).flat_map(read)


def _cut(table: Any, start: Any, stop: Any) -> Any:
  """Cuts the records from the `start`-th to the `stop`-th out of pieces."""
  file, skip, take, first = tf.unstack(table)
  before = tf.cumsum(take, exclusive=True)
  begin = tf.clip_by_value(start - before, 0, take)
  end = tf.clip_by_value(stop - before, 0, take)
  return tf.stack([file, skip + begin, end - begin, first + begin])


def _permutation(size: Any, key: Any) -> Any:
  return tf.random.experimental.stateless_shuffle(tf.range(size), key)
