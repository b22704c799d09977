"""Reading record files in stripes: how well it mixes, and what it holds."""

import collections
import dataclasses
import hashlib
import itertools

import numpy as np
import pytest

from van_jax.data.sources import (
  record_pieces,
  record_split,
  stripes as stripes_lib,
)
from van_jax.data.sources.split import Share
from van_jax.data.tensorflow import tf

FILES, PER_FILE, RECORD_BYTES = 16, 250, 1000
SHARE = Share(batch_size=128, start_step=0, process_index=0, process_count=1)


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> record_split.RecordSplit:
  """Returns 4,000 records in 16 files; 1 MB of shuffle is 1,000 of them."""
  folder = tmp_path_factory.mktemp("records")
  files = []
  for number in range(FILES):
    files.append(str(folder / f"{number}.tfrecord"))
    with tf.io.TFRecordWriter(files[-1]) as writer:
      for _ in range(PER_FILE):
        writer.write(bytes(RECORD_BYTES))
  take = np.full(FILES, PER_FILE, np.int64)
  return record_split.RecordSplit(
    title="records",
    files=tuple(files),
    pieces=record_pieces.Pieces(
      np.arange(FILES), np.zeros(FILES, np.int64), take, np.cumsum(take) - take
    ),
    parse=lambda record: {"image": record},
    record_bytes=RECORD_BYTES,
    shuffle_megabytes=1,
  )


def _epochs(split, count):
  """Returns the indices of the epochs' batches, [count, steps, 128]."""
  steps = split.size // SHARE.batch_size
  batches = split.shuffled(7, SHARE).batch(SHARE.batch_size)
  read = batches.take(count * steps).as_numpy_iterator()
  indices = [index for _, _, index, _ in read]
  return np.reshape(indices, [count, steps, SHARE.batch_size])


def _met_again(split):
  """Returns the part of neighbours in a batch that the next epoch repeats.

  Neighbours are two records that a stripe gave to one batch.
  """
  first, second = _epochs(split, 2)
  step_of = {
    index: step for step, batch in enumerate(second) for index in batch
  }
  stripes = stripes_lib.count(SHARE.batch_size)
  block = SHARE.batch_size // stripes
  pairs = [
    pair
    for batch in first
    for part in batch.reshape(stripes, block)
    for pair in itertools.combinations(part, 2)
  ]
  # A few records are left out of the second epoch.
  again = [
    step_of[one] == step_of[other]
    for one, other in pairs
    if one in step_of and other in step_of
  ]
  return float(np.mean(again))


def test_neighbours_of_a_batch_meet_again_no_more_than_the_window_says(split):
  """A window of 15 gives one of 14 others to a record: 1 / 14 = 0.07."""
  # Standard deviation sqrt(0.07 / 2,000 pairs) = 0.006; without the shuffle
  # of windows nearly all meet again.
  assert 0.04 < _met_again(split) < 0.10


def test_a_window_of_the_whole_stripe_forgets_neighbours(split):
  """31 steps: two records of a stripe of 62 meet by chance in 1 / 61."""
  whole = dataclasses.replace(split, shuffle_megabytes=100)
  assert _met_again(whole) < 0.016 + 5 * 0.003


def test_a_record_comes_at_unrelated_steps_of_two_epochs(split):
  """A stripe is one piece here: where it starts is all that moves it."""
  first, second = (
    {index: step for step, batch in enumerate(epoch) for index in batch}
    for epoch in _epochs(split, 2)
  )
  both = sorted(first.keys() & second.keys())
  steps = [[epoch[index] for index in both] for epoch in (first, second)]
  # A stripe rotated by f has the correlation 1 - 6 f (1 - f): standard
  # deviation 0.45 of a stripe, 0.056 of the mean of 64. Five of them.
  assert abs(np.corrcoef(np.array(steps)).item(1)) < 0.28


def test_what_is_left_over_differs_between_epochs(split):
  """4,000 records, 31 batches of 128: 32 are left out an epoch."""
  missing = [
    set(range(split.size)) - set(epoch.ravel().tolist())
    for epoch in _epochs(split, 3)
  ]
  assert [len(some) for some in missing] == [32] * 3
  # By chance 32 * 32 / 4,000 = 0.26 are in two.
  assert len(set.union(*missing)) > 3 * 32 - 8


def test_reading_ahead_is_bounded_by_the_megabytes(split, monkeypatch):
  read = collections.Counter()
  read_piece = record_pieces.read_piece

  def count(index):
    read.update(records=1)
    return index

  def counted(*piece):
    return read_piece(*piece).map(
      lambda index, record: (
        tf.ensure_shape(tf.numpy_function(count, [index], tf.int64), []),
        record,
      )
    )

  monkeypatch.setattr(record_pieces, "read_piece", counted)
  shown = 640
  list(split.shuffled(0, SHARE).take(shown))
  held = split.shuffle_megabytes * 1e6 / RECORD_BYTES
  # The windows, and a batch that waits behind them.
  assert 0 < read["records"] - shown <= held + SHARE.batch_size


def test_too_few_megabytes_for_a_batch_are_refused(split):
  large = dataclasses.replace(split, record_bytes=10_000.0)
  with pytest.raises(ValueError, match=r"shuffle_megabytes=1 .*128.*raise it"):
    large.shuffled(0, SHARE)


def _order(split, steps, **share):
  """Returns (epoch, repetition, index) of what a process shows, [N, 3]."""
  share = dataclasses.replace(SHARE, **share)
  shown = split.shuffled(7, share).map(lambda *element: element[:3])
  count = steps * share.examples_per_step
  return np.array(list(shown.take(count).as_numpy_iterator()))


@pytest.mark.parametrize(
  ("batch_size", "count", "looked_at", "repeats", "start_step"),
  [
    (128, 128, (1, 126), 1, 0),  # Two to a stripe.
    (192, 6, (0, 4), 1, 3),  # 10 stripes and two thirds each, of 64.
    (74, 2, (0, 1), 2, 3),  # 18 stripes and a half each, of 37.
  ],
)
def test_any_number_of_processes_shows_the_batches_of_one(
  split, batch_size, count, looked_at, repeats, start_step
):
  """In its very order, so disjoint and complete, and when going on too."""
  same = {
    "batch_size": batch_size,
    "repeats": repeats,
    "start_step": start_step,
  }
  whole = _order(split, 3, **same).reshape(3, count, -1, 3)
  for index in looked_at:
    part = _order(split, 3, process_index=index, process_count=count, **same)
    assert np.array_equal(part, whole[:, index].reshape(-1, 3))


def test_a_process_reads_the_stripes_that_it_has_a_part_of_alone():
  share = dataclasses.replace(SHARE, batch_size=1024, process_count=256)
  touched = [
    stripes_lib.places(dataclasses.replace(share, process_index=i))
    for i in range(256)
  ]
  assert touched == [range(i // 4, i // 4 + 1) for i in range(256)]


@pytest.mark.parametrize(
  ("share", "digest"),
  [
    ({}, "a64e0236d887fd0d"),
    (
      {"process_count": 4, "process_index": 2, "start_step": 29},
      "aa0c7816d318eeb8",
    ),
    ({"repeats": 3, "start_step": 2}, "f39b1f5140bc191a"),
  ],
)
def test_runs_of_earlier_versions_go_on_in_their_order(split, share, digest):
  """Digests of the order of van_jax 0.1.0 at commit 1dd8f16."""
  shown = _order(split, 4, **share).astype("<i8").tobytes()
  assert hashlib.sha256(shown).hexdigest()[:16] == digest
