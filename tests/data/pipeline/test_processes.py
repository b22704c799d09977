"""What hosts, restarts and repetitions make of an epoch, on every source.

Examples are told apart by their bytes: nothing is augmented.
"""

import collections
import itertools

import numpy as np
import plain
import pytest

from van_jax import data
from van_jax.data.sources import record_split, stripes as stripes_lib, tfds

SIZE = 500
BATCH = 96  # Five steps an epoch, and a remainder of 20.


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory, digits_directory):
  """Returns 500 of the digits as files."""
  from PIL import Image

  directory = tmp_path_factory.mktemp("digits")
  source = data.open_source(
    name="digits",
    directory=digits_directory,
    train_split=None,
    eval_split=f"train[:{SIZE}]",
  )
  as_they_are = data.Preprocessing(
    image_size=32,
    resize_mode="short_side",
    resize_size=32,
    interpolation="bilinear",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
  )
  (batch,) = data.eval_batches(
    source, batch_size=SIZE, preprocessing=as_they_are
  )
  for i, (image, label) in enumerate(
    zip(batch["image"], batch["label"], strict=True)
  ):
    folder = directory / "train" / str(label)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / f"{i}.png")
  return str(directory)


# Files are shuffled as what lies in memory is, by `IndexedSplit`.
@pytest.fixture(params=["memory", "stripes"])
def source(request, image_folder, digits_directory, monkeypatch):
  """Returns the same 500 examples as files, in memory and in record_split."""
  if request.param == "stripes":
    monkeypatch.setattr(tfds, "MAX_BYTES_IN_MEMORY", 0)
    # Windows that end in the middle of a stripe.
    monkeypatch.setattr(record_split.RecordSplit, "window", lambda *_: 4)
  files = request.param == "files"
  return data.open_source(
    name="folder" if files else "digits",
    directory=image_folder if files else digits_directory,
    train_split="train" if files else f"train[:{SIZE}]",
    eval_split=None,
  )


def _read(source, steps, *, repeats=1, batch_size=BATCH, seed=0, **options):
  """Returns each batch as a list of (label, pixels)."""
  batches = data.train_batches(
    source,
    augmentation=plain.augmentation(repeats=repeats),
    batch_size=batch_size,
    seed=seed,
    **options,
  )
  return [
    [
      (int(label), image.tobytes())
      for image, label in zip(batch["image"], batch["label"], strict=True)
    ]
    for batch in itertools.islice(batches, steps)
  ]


def _joined(lists):
  return list(itertools.chain.from_iterable(lists))


def _together(source, steps, count, **options):
  """Returns the sorted batches of `count` processes."""
  parts = [
    _read(source, steps, process_index=i, process_count=count, **options)
    for i in range(count)
  ]
  return [sorted(_joined(same)) for same in zip(*parts, strict=True)]


@pytest.mark.parametrize(
  "source", ["files", "memory", "stripes"], indirect=True
)
@pytest.mark.parametrize("repeats", [1, 3])
def test_four_processes_read_the_batches_of_one(source, repeats):
  whole = _read(source, 7, repeats=repeats)  # Into the second epoch.
  parts = _together(source, 7, 4, repeats=repeats)
  assert parts == [sorted(batch) for batch in whole]


def test_four_processes_resume_in_the_middle_of_an_epoch(source):
  whole = _read(source, 7)
  parts = _together(source, 4, 4, start_step=3)
  assert parts == [sorted(batch) for batch in whole[3:]]


def test_a_restart_reads_the_same_batches(source):
  assert _read(source, 7) == _read(source, 7)


def test_no_example_comes_twice_in_an_epoch_of_four_processes(source):
  epochs = _together(source, 10, 4)
  for epoch in (epochs[:5], epochs[5:]):
    seen = collections.Counter(_joined(epoch))
    assert len(seen) == 5 * BATCH
    assert set(seen.values()) == {1}


def test_every_example_comes_once_where_nothing_is_left_over(source):
  """500 examples in batches of 20."""
  seen = collections.Counter(_joined(_together(source, 25, 4, batch_size=20)))
  assert len(seen) == SIZE
  assert set(seen.values()) == {1}


@pytest.mark.parametrize("batch_size", [36, 480])
def test_odd_remainders_leave_out_no_more_than_themselves(source, batch_size):
  steps = SIZE // batch_size
  seen = collections.Counter(
    _joined(_together(source, steps, 4, batch_size=batch_size))
  )
  assert len(seen) == steps * batch_size
  assert set(seen.values()) == {1}


def test_epochs_and_seeds_have_orders_of_their_own(source):
  steps = SIZE // 100
  epochs = _read(source, 2 * steps, batch_size=100)
  other = _read(source, steps, batch_size=100, seed=1)
  first, second = _joined(epochs[:steps]), _joined(epochs[steps:])
  assert sorted(first) == sorted(second) == sorted(_joined(other))
  # A stripe of 10 keeps one of them in its place by chance: 50 of 500; 85 are
  # five standard deviations.
  for one, two in ((first, second), (first, _joined(other))):
    assert np.sum([a == b for a, b in zip(one, two, strict=True)]) <= 85


def test_repeats_come_together_in_an_epoch_as_long(source):
  """Five steps of 96: 160 examples, three times each."""
  batches = _read(source, 5, repeats=3)
  seen = collections.Counter(_joined(batches))
  # The stripes' last examples and a batch's share a remainder of repeats.
  assert 160 <= len(seen) <= 160 + stripes_lib.MOST
  assert max(seen.values()) == 3
  steps = collections.defaultdict(set)
  for step, batch in enumerate(batches):
    for row in batch:
      steps[row].add(step)
  assert all(max(found) - min(found) <= 1 for found in steps.values())


@pytest.mark.parametrize(("batch_size", "repeats"), [(96, 3), (100, 4)])
def test_copies_go_to_different_groups(source, batch_size, repeats):
  """As many groups as copies, which is the tightest."""
  group = batch_size // repeats
  batches = _read(source, 5, repeats=repeats, batch_size=batch_size)
  for batch in batches:
    for start in range(0, batch_size, group):
      assert len(set(batch[start : start + group])) == group
  assert len(set(batches[0])) <= batch_size / 2  # They are in it, though.


def test_the_groups_of_four_processes_are_those_of_one(source):
  whole = _read(source, 3, repeats=3)
  parts = [
    _read(source, 3, repeats=3, process_index=i, process_count=4)
    for i in range(4)
  ]
  assert [_joined(same) for same in zip(*parts, strict=True)] == whole


def test_repeats_resume_in_the_middle_of_an_example(source):
  """Batch 2 of 100 starts with the third time of an example."""
  whole = _read(source, 8, repeats=3, batch_size=100)
  resumed = _read(source, 4, repeats=3, batch_size=100, start_step=4)
  assert resumed == whole[4:]


def test_repeats_are_augmented_each_by_itself(source):
  batches = data.train_batches(
    source,
    augmentation=plain.augmentation(crop="pad", pad_pixels=8, repeats=4),
    batch_size=BATCH,
    seed=0,
  )
  images = next(batches)["image"]
  distinct = {image.tobytes() for image in images}
  # 96 images are 24 examples; 17 x 17 places of the crop, so few are alike.
  assert len(distinct) > 80
