"""An evaluation split whose classes are some of training's, by name."""

import shutil

import numpy as np
import pytest

from van_jax import data
from van_jax.data.sources.renumbered import RenumberedSplit


def labels_of(source, preprocessing, **processes):
  batches = data.eval_batches(
    source, batch_size=4, preprocessing=preprocessing, **processes
  )
  return np.concatenate([batch["label"][batch["mask"]] for batch in batches])


def test_training_may_have_a_class_that_evaluation_has_not(
  folder, open_folder, preprocessing
):
  shutil.rmtree(folder / "test" / "bee")
  source = open_folder()
  assert source.class_names == ("ant", "bee", "cat")
  assert source.evaluation.class_names == source.class_names
  labels = labels_of(source, preprocessing)
  np.testing.assert_array_equal(labels, [0] * 5 + [2] * 5)


def test_evaluation_with_a_class_that_training_lacks_is_refused(
  folder, open_folder
):
  shutil.rmtree(folder / "train" / "bee")
  message = r"test has 1 classes that .*train lacks: bee"
  with pytest.raises(ValueError, match=message):
    open_folder()


def test_an_image_keeps_its_name(folder, open_folder):
  shutil.rmtree(folder / "test" / "ant")
  split = open_folder().evaluation
  assert split.describe(0) == str(folder / "test" / "bee" / "00.jpg")


def test_labels_that_are_no_class_do_not_become_one(preprocessing):
  encoded = [_png()] * 4
  split = data.MemorySplit(
    title="odd",
    parts={"image": encoded, "label": np.array([-1, 0, 1, 2], np.int32)},
    class_names=("b", "a"),
  )
  renumbered = RenumberedSplit(
    split=split, numbers=np.array([1, 0], np.int32), class_names=("a", "b")
  )
  source = data.Source("odd", ("a", "b"), None, renumbered)
  labels = labels_of(source, preprocessing)
  np.testing.assert_array_equal(labels, [-1, 1, 0, 2])


def test_two_processes_number_their_images_as_one(open_folder, preprocessing):
  source = open_folder(train_split=None)
  parts = [
    data.eval_batches(
      source,
      batch_size=4,
      preprocessing=preprocessing,
      process_index=i,
      process_count=2,
    )
    for i in range(2)
  ]
  firsts = [part.start for part in parts]
  assert firsts == [0, 8]  # Of 15.


def _png():
  import io

  from PIL import Image

  file = io.BytesIO()
  Image.new("RGB", (40, 40)).save(file, "png")
  return file.getvalue()
