"""What fit takes as data, and what it says of what it does not take."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from van_jax import data, errors
from van_jax.lab import given_data

IMAGES = np.random.default_rng(0).integers(
  0, 256, (100, 4, 4, 3), dtype=np.uint8
)
ARRAYS = (IMAGES, np.arange(100) % 3)


def opened(given, evaluation=None, directory="unused", **more) -> Any:
  return given_data.opened(given, evaluation, directory=directory, **more)


@pytest.fixture
def folders(tmp_path):
  """Returns a data set of two splits, two classes and 20 files each."""
  for split in ("train", "val"):
    for name in ("cat", "dog"):
      (tmp_path / split / name).mkdir(parents=True)
      for i in range(20):
        image = Image.fromarray(IMAGES[i])
        image.save(tmp_path / split / name / f"{i}.png")
  return tmp_path


def shown(source):
  """Returns the images and labels of an evaluation, as they are."""
  preprocessing = data.Preprocessing(image_size=32, resize_size=32)
  batches = data.eval_batches(
    source, batch_size=32, preprocessing=preprocessing
  )
  images, labels = [], []
  for batch in batches:
    images.append(batch["image"][batch["mask"]])
    labels.append(batch["label"][batch["mask"]])
  return np.concatenate(images), np.concatenate(labels)


@pytest.mark.parametrize("channels", [(3,), (1,), ()])
def test_arrays_come_out_as_they_went_in(channels):
  numbers = np.random.default_rng(0)
  images = numbers.integers(0, 256, (40, 32, 32, *channels), dtype=np.uint8)
  labels = np.arange(40) % 5
  found, their_labels = shown(opened((images, labels), (images, labels)))
  grey = images if images.ndim == 4 else images[..., None]
  np.testing.assert_array_equal(found, np.broadcast_to(grey, (40, 32, 32, 3)))
  np.testing.assert_array_equal(their_labels, labels)


def test_arrays_train_as_the_files_that_hold_them(folders):
  images = np.concatenate([IMAGES[:20]] * 2)
  # A folder's files are in the order of their names.
  order = np.argsort([f"{c}/{i}.png" for c in "cd" for i in range(20)])
  arrays = (images[order], np.repeat([0, 1], 20))
  batches = (
    data.train_batches(
      source, augmentation=data.Augmentation(image_size=32), batch_size=8
    )
    for source in (opened(arrays), opened(folders / "train"))
  )
  for _, ours, theirs in zip(range(3), *batches, strict=False):
    np.testing.assert_array_equal(ours["image"], theirs["image"])
    np.testing.assert_array_equal(ours["label"], theirs["label"])


def test_a_part_is_held_out_once_and_always_the_same():
  images = np.arange(100, dtype=np.uint8)[:, None, None].repeat(4, 1)
  images = images.repeat(4, 2)
  first, second = (opened((images, ARRAYS[1]), 0.2) for _ in range(2))
  train, held_out = (
    split.images[:, 0, 0, 0] for split in (first.train, first.evaluation)
  )
  assert (len(train), len(held_out)) == (80, 20)
  assert sorted([*train, *held_out]) == list(range(100))
  np.testing.assert_array_equal(held_out, second.evaluation.images[:, 0, 0, 0])
  np.testing.assert_array_equal(first.evaluation.labels, held_out % 3)


def test_a_model_may_have_more_classes_than_the_labels_show():
  assert opened(ARRAYS).num_classes == 3
  assert opened(ARRAYS, num_classes=7).num_classes == 7
  assert opened(ARRAYS, class_names=["a", "b", "c"]).class_names == tuple("abc")


@pytest.mark.parametrize("as_text", [True, False])
def test_a_folder_is_named_by_its_path(folders, as_text):
  path = folders / "train"
  source = opened(str(path) if as_text else path, folders / "val")
  assert (source.num_train, source.num_eval) == (40, 40)
  assert source.class_names == ("cat", "dog")
  assert given_data.side(source) == 4


def test_a_part_of_a_folder_is_held_out(folders):
  source = opened(folders / "train", 0.25)
  assert (source.num_train, source.num_eval) == (30, 10)


def test_digits_are_there_by_name(tmp_path):
  source = opened("digits", "test", directory=str(tmp_path))
  assert (source.num_train, source.num_eval) == (1433, 364)
  tenth = np.float32(0.1)
  assert opened("digits", tenth, directory=str(tmp_path)).num_eval == 143
  assert opened(source) is source
  with pytest.raises(errors.UserError, match="leave it out"):
    opened(source, 0.1)
  with pytest.raises(errors.UserError, match="must be a split of 'digits'"):
    opened("digits", 3, directory=str(tmp_path))


@pytest.mark.parametrize(
  ("given", "evaluation", "said"),
  [
    (
      (IMAGES / 255, ARRAYS[1]),
      None,
      r"float64 must be uint8.*round\(255 \*",
    ),
    ((IMAGES / 1, ARRAYS[1]), None, r"uint8.*; np\.round\(images\)\.astype"),
    ((IMAGES - 128.0, ARRAYS[1]), None, "from -128 to .* as they were"),
    ((IMAGES * np.nan, ARRAYS[1]), None, "from nan to nan: give them"),
    ((np.array([b"x"]), [0]), None, r"shape=\(1,\) must be \[N, H, W, 3\]"),
    (([IMAGES[0], IMAGES[1, :3]], [0, 1]), None, "of several shapes; resize"),
    ((IMAGES, ARRAYS[1][:, None]), None, r"an image; labels\[:, 0\] is\."),
    ((IMAGES, np.eye(3)[ARRAYS[1]]), None, r"an image; np\.argmax"),
    ((IMAGES, ARRAYS[1][:9]), None, r"one number an image\."),
    ((IMAGES[0], [0]), None, r"images\[None\] makes one of a single image"),
    ((IMAGES[:, 0, 0], ARRAYS[1]), None, r"shape=\(100, 3\) must be \[N"),
    ((np.moveaxis(IMAGES, 3, 1), ARRAYS[1]), None, r"moveaxis\(images, 1"),
    ((IMAGES[:0], ARRAYS[1][:0]), None, "must not be empty"),
    ((IMAGES, ARRAYS[1][:9]), None, r"labels.shape=\(9,\) must be \(100,\)"),
    ((IMAGES, ARRAYS[1] / 1), None, "labels.dtype=float64 must be integers"),
    ((IMAGES, ARRAYS[1] - 1), None, "from -1 to 1 and must be from 0 to"),
    (ARRAYS, (IMAGES, ARRAYS[1] + 1), "evaluation: labels are from 1 to 3"),
    (ARRAYS, 1.5, r"evaluation=1\.5 must be a part"),
    (ARRAYS, "test", "evaluation is of type str"),
    ((IMAGES[:3], ARRAYS[1][:3]), 0.1, "must leave some on either side"),
    (IMAGES, None, "data is of type ndarray and must be a pair"),
    ("no_such_data", None, "^data='no_such_data': .* is not prepared"),
    ("no such data", None, "^data='no such data': "),
    ("./no_such_folder", None, "^data=./no_such_folder is no folder"),
  ],
)
def test_other_data_is_refused_in_one_line(given, evaluation, said, tmp_path):
  with pytest.raises(errors.UserError, match=said) as info:
    opened(given, evaluation, directory=str(tmp_path))
  assert "\n" not in str(info.value)


def test_an_evaluation_that_is_not_there_is_named(folders):
  with pytest.raises(errors.UserError, match=r"^evaluation=.*vall is no"):
    opened(folders / "train", folders / "vall")


def test_a_folder_of_splits_is_not_taken_for_classes(folders):
  with pytest.raises(errors.UserError, match="train, val, which are splits"):
    opened(folders)


def test_class_names_are_for_arrays_alone(folders):
  with pytest.raises(errors.UserError, match="class_names are for arrays"):
    opened(folders / "train", class_names=["a", "b"])


@pytest.mark.parametrize("names", ["ab", 2, [1, 2], []])
def test_class_names_are_several_texts(names):
  with pytest.raises(errors.UserError, match=r"class_names=.* must be a seq"):
    opened(ARRAYS, class_names=names)
  found = opened(ARRAYS, class_names=np.array(["a", "b", "c"])).class_names
  assert found == ("a", "b", "c")


def test_labels_beyond_the_models_classes_are_refused():
  with pytest.raises(errors.UserError, match="there are 2 classes"):
    opened(ARRAYS, num_classes=2)
