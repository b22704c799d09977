"""The digits: their split, their pixels, and preparing them."""

import subprocess
import sys
from typing import Any

import numpy as np
from sklearn import datasets

from van_jax import data
from van_jax.data.tensorflow import tfds


def _pixels(directory, split):
  builder = tfds.builder_from_directory(f"{directory}/digits/1.0.0")
  return list(builder.as_dataset(split=split).as_numpy_iterator())


def test_splits_hold_every_image_once(digits_directory):
  train, test = (_pixels(digits_directory, s) for s in ("train", "test"))
  assert (len(train), len(test)) == (1433, 364)
  positions = [example["position"] for example in train + test]
  assert sorted(positions) == list(range(1797))


def test_pixels_are_scikit_learns_times_255_over_16(digits_directory):
  images = datasets.load_digits(return_X_y=True)[0].reshape(-1, 8, 8)
  for example in _pixels(digits_directory, "test"):
    expected = np.round(images[example["position"]] * 255 / 16)
    np.testing.assert_array_equal(example["image"][..., 0], expected)


def test_every_class_has_a_fifth_of_its_images_in_test(digits_directory):
  labels = [example["label"] for example in _pixels(digits_directory, "test")]
  assert set(np.bincount(labels)) <= {35, 36, 37}  # 174 to 183 of each.


def test_two_processes_may_prepare_at_once(tmp_path):
  command = [sys.executable, "-m", "van_jax.data.prepare", "digits"]
  command.append(f"--directory={tmp_path}")
  running = [
    subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for _ in range(2)
  ]
  messages = [process.communicate()[1] for process in running]
  assert [process.returncode for process in running] == [0, 0], messages
  source = data.open_source(
    name="digits", directory=str(tmp_path), train_split=None, eval_split="test"
  )
  assert source.num_eval == 364
  assert [p.name for p in (tmp_path / "digits").iterdir()] == ["1.0.0"]


def test_preparing_accepts_another_process_having_been_faster(
  tmp_path, monkeypatch
):
  from van_jax.data.sources.digits import digits_dataset_builder

  prepare: Any = digits_dataset_builder.Builder.download_and_prepare

  def too_late(self):
    prepare(self)
    raise OSError("Directory not empty")  # What its rename then meets.

  monkeypatch.setattr(
    digits_dataset_builder.Builder, "download_and_prepare", too_late
  )
  source = data.open_source(
    name="digits", directory=str(tmp_path), train_split="train", eval_split=None
  )
  assert source.num_train == 1433


def test_source_says_its_sizes_and_classes(digits):
  assert (digits.num_train, digits.num_eval) == (1433, 364)
  assert digits.class_names == tuple("0123456789")
  assert digits.num_classes == 10
