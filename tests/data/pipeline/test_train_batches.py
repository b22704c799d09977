"""Training batches: the contract that all kinds of sources keep."""

import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import plain
import pytest

from van_jax import data
from van_jax.data.sources import names, record_split, tfds
from van_jax.data.sources.folder import FileSplit
from van_jax.data.sources.split import Share


@pytest.fixture(params=["memory", "stripes", "files"])
def source(request, digits_directory, monkeypatch) -> data.Source:
  """Returns a source of each kind; the contract is the same for all."""
  if request.param == "files":
    return request.getfixturevalue("open_folder")()
  if request.param == "stripes":
    monkeypatch.setattr(tfds, "MAX_BYTES_IN_MEMORY", 0)
    # Several windows a stripe, the first ones cut short.
    monkeypatch.setattr(record_split.RecordSplit, "window", lambda *_: 4)
  return data.open_source(
    name="digits",
    directory=digits_directory,
    train_split="train[:500]",
    eval_split="test",
  )


def _batch_size(source):
  return 12 if source.name == "folder" else 96


def _options(source, **options):
  """Returns the arguments of train_batches, with these options changed."""
  chosen: dict[str, Any] = {"seed": 3, "batch_size": _batch_size(source)}
  image = {key: options.pop(key) for key in plain.OPTIONS.keys() & options}
  how = plain.augmentation(**({"crop": "pad"} | image))
  return {"augmentation": how, **chosen, **options}


def _take(source, count, **options):
  batches = data.train_batches(source, **_options(source, **options))
  return list(itertools.islice(batches, count))


def _rows(batch):
  """Returns the examples of a batch as a sorted list."""
  return sorted(
    (int(label), image.tobytes())
    for image, label in zip(batch["image"], batch["label"], strict=True)
  )


def _same(one, other):
  return all(np.array_equal(one[name], other[name]) for name in one)


def test_batches_are_uint8_images_and_int32_labels(source):
  (batch,) = _take(source, 1)
  size = _batch_size(source)
  assert batch["image"].dtype == np.uint8
  assert batch["image"].shape == (size, 32, 32, 3)
  assert batch["label"].dtype == np.int32
  assert batch["label"].shape == (size,)


def test_starting_at_a_step_gives_the_unbroken_runs_batches(source):
  steps = source.num_train // _batch_size(source)
  unbroken = _take(source, 2 * steps + 3)
  # In the first epoch, at its last step, at a border, and in the third.
  for start in (1, steps - 1, steps, steps + 2, 2 * steps + 1):
    resumed = _take(source, 2, start_step=start)
    assert all(map(_same, resumed, unbroken[start:])), start


@pytest.mark.parametrize("count", [2, 3])
def test_processes_together_read_what_one_reads(source, count):
  steps = source.num_train // _batch_size(source)
  whole = _take(source, steps + 1)
  parts = [
    _take(source, steps + 1, process_index=i, process_count=count)
    for i in range(count)
  ]
  for step, batch in enumerate(whole):
    together = [row for part in parts for row in _rows(part[step])]
    assert sorted(together) == _rows(batch), step


def test_no_example_comes_twice_in_an_epoch(source):
  steps = source.num_train // _batch_size(source)
  batches = _take(source, steps, crop="none")
  rows = [row for batch in batches for row in _rows(batch)]
  assert len(set(rows)) == len(rows) == steps * _batch_size(source)


def test_order_changes_from_epoch_to_epoch(source):
  steps = source.num_train // _batch_size(source)
  batches = _take(source, steps + 1, crop="none")
  assert _rows(batches[0]) != _rows(batches[steps])


def test_seed_changes_the_order(source):
  same = {"crop": "none"}
  (one,), (other,) = (_take(source, 1, seed=s, **same) for s in (3, 4))
  assert _rows(one) != _rows(other)


def test_augmentation_of_an_example_changes_with_the_epoch(open_folder):
  source = open_folder()
  batches = _take(source, 2, batch_size=42, crop="random_resized")
  assert not set(_rows(batches[0])) & set(_rows(batches[1]))


def test_label_belongs_to_the_image(folder, open_folder):
  from PIL import Image

  for label, name in enumerate(("ant", "bee", "cat")):
    for path in (folder / "train" / name).iterdir():
      Image.new("RGB", (40, 40), (80 * label,) * 3).save(path)
  for batch in _take(open_folder(), 4):
    # JPEG keeps a flat image within a level.
    error = batch["image"].mean((1, 2, 3)) - 80 * batch["label"]
    assert abs(error).max() <= 1


def test_what_is_left_over_differs_between_epochs(open_folder):
  """42 examples in batches of 20: two are left out an epoch."""
  same = {"crop": "none", "batch_size": 20}
  batches = _take(open_folder(), 20, **same)
  seen = {row for batch in batches for row in _rows(batch)}
  assert len(seen) == 42  # Of 10 epochs; the same two each time leaves 40.


def test_order_of_two_epochs_is_unrelated():
  """At 4 rounds of the permutation's cipher this fails by far."""
  size = 20_000
  files = names.pack(["a"], [["x"] * size])
  split = FileSplit(title="", root="", files=files, labels=np.zeros(size))
  share = Share(batch_size=size, start_step=0, process_index=0, process_count=1)
  epochs = split.shuffled(0, share).batch(size).take(2)
  (_, _, one, _), (_, _, other, _) = epochs.as_numpy_iterator()
  assert len(set(one)) == size
  # Standard deviation 1 / sqrt(size) of uncorrelated orders; five of them.
  assert abs(np.corrcoef(one, other)[0, 1]) < 5 / size**0.5


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"batch_size": 10, "process_count": 4}, "batch_size=10 .*process_count=4"),
    ({"batch_size": 2000}, "batch_size=2000 .*1433"),
    ({"batch_size": 0}, "batch_size=0"),
    ({"image_size": 31}, "image_size=31 .*32"),
    ({"seed": -1}, "seed=-1"),
    ({"start_step": -1}, "start_step=-1"),
    ({"process_index": 1}, "process_index=1 .*process_count=1"),
    ({"crop": "centre"}, "crop='centre' .*none, pad, random_resized"),
    ({"pad_mode": "wrap"}, "pad_mode='wrap'"),
    ({"pad_pixels": 32}, "pad_pixels=32"),
    ({"interpolation": "nearest"}, "interpolation='nearest'"),
    ({"flip_probability": 1.5}, "flip_probability=1.5"),
    ({"crop_scale": (0.0, 1.0)}, r"crop_scale=\(0.0, 1.0\)"),
    ({"crop_ratio": (2.0, 1.0)}, r"crop_ratio=\(2.0, 1.0\)"),
    ({"policy": "autoaugment"}, "policy='autoaugment' .*three_augment"),
    ({"randaugment_ops": 0}, "randaugment_ops=0"),
    ({"randaugment_magnitude": 11}, "randaugment_magnitude=11 .*at most 10"),
    ({"randaugment_std": -0.5}, "randaugment_std=-0.5"),
    ({"randaugment_probability": 2}, "randaugment_probability=2"),
    ({"color_jitter": -0.1}, "color_jitter=-0.1"),
    ({"fill_color": (128, 300, 0)}, r"fill_color=\(128, 300, 0\)"),
    ({"fill_color": (128.0, 128.0, 128.0)}, "fill_color="),
    ({"repeats": 0}, "repeats=0"),
  ],
)
def test_bad_options_are_refused_at_the_call(digits, options, message):
  with pytest.raises(ValueError, match=message):
    data.train_batches(digits, **_options(digits, **options))


def test_training_needs_a_training_split(digits_directory):
  source = data.open_source(
    name="digits",
    directory=digits_directory,
    train_split=None,
    eval_split="test",
  )
  with pytest.raises(ValueError, match="train_split=None"):
    data.train_batches(source, **_options(source))


def test_program_may_end_with_batches_on_their_way(folder):
  """Threads that prepare them call Python, which is going away."""
  code = (
    "from van_jax import data\n"
    f"source = data.open_source(name='folder', directory={str(folder)!r},\n"
    "  train_split='train', eval_split='test')\n"
    f"how = data.Augmentation(**{plain.OPTIONS!r})\n"
    "batches = data.train_batches(\n"
    "  source, augmentation=how, batch_size=4, seed=0)\n"
    "next(batches)\n"
    "print('end')"
  )
  ended = subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    check=True,
    timeout=100,
  )
  assert ended.stdout == "end\n"
