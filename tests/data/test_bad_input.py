"""Damaged and missing files and folders: what the error says."""

import itertools
import pathlib
import re
import shutil
from typing import Any

import plain
import pytest

from van_jax import data, errors
from van_jax.data import prepare
from van_jax.data.pipeline import readable
from van_jax.data.sources import tfds, tfds_folders
from van_jax.data.tensorflow import tf


def _train(source, steps=4):
  batches = data.train_batches(
    source,
    augmentation=plain.augmentation(crop="random_resized"),
    batch_size=42,
    seed=0,
  )
  return list(itertools.islice(batches, steps))


def _evaluate(source, preprocessing):
  return list(
    data.eval_batches(source, batch_size=4, preprocessing=preprocessing)
  )


def _truncate(path: pathlib.Path, keep: float) -> None:
  content = path.read_bytes()
  path.write_bytes(content[: int(len(content) * keep)])


@pytest.mark.parametrize("name", ["00.jpg", "01.png"])
@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_training_names_a_file_that_is_no_image(
  folder, open_folder, name, content
):
  (folder / "train" / "bee" / name).write_bytes(content)
  with pytest.raises(ValueError, match=rf"train/bee/{name} is damaged") as info:
    _train(open_folder())
  assert str(info.value).count(name) == 1
  for word in ("node", "name:", "Op:"):  # TensorFlow's graph.
    assert word not in str(info.value)
  assert info.value.__cause__ is None


@pytest.mark.parametrize("name", ["00.jpg", "01.png"])
def test_evaluation_names_a_truncated_file(
  folder, open_folder, preprocessing, name
):
  _truncate(folder / "test" / "cat" / name, 0.6)
  with pytest.raises(ValueError, match=rf"test/cat/{name} is damaged"):
    _evaluate(open_folder(), preprocessing)


def test_training_names_a_truncated_file(folder, open_folder):
  _truncate(folder / "train" / "cat" / "03.jpg", 0.6)
  with pytest.raises(
    ValueError, match=r"train/cat/03\.jpg is damaged .*on_damaged='skip'"
  ):
    _train(open_folder(), steps=20)


def test_batches_before_the_damaged_one_arrive(
  folder, open_folder, preprocessing
):
  _truncate(folder / "test" / "cat" / "00.jpg", 0.6)
  batches = iter(
    data.eval_batches(open_folder(), batch_size=5, preprocessing=preprocessing)
  )
  next(batches)
  next(batches)
  with pytest.raises(ValueError, match=r"cat/00\.jpg"):
    next(batches)


def test_file_removed_after_opening_is_named(
  folder, open_folder, preprocessing
):
  source = open_folder()
  (folder / "test" / "ant" / "02.JPEG").unlink()
  with pytest.raises(ValueError, match=r"ant/02\.JPEG cannot be read"):
    _evaluate(source, preprocessing)


def test_a_file_that_training_cannot_find_is_named_once(folder, open_folder):
  source = open_folder()
  (folder / "train" / "ant" / "02.JPEG").unlink()
  with pytest.raises(errors.UserError) as info:
    _train(source)
  assert str(info.value) == (
    f"{folder}/train/ant/02.JPEG cannot be read: No such file or directory; "
    "replace it, or set data.on_damaged='skip'."
  )


def test_evaluation_says_what_skip_is_for(folder, open_folder, preprocessing):
  path = folder / "test" / "ant" / "02.JPEG"
  path.write_bytes(b"x")
  with pytest.raises(errors.UserError) as info:
    _evaluate(open_folder(), preprocessing)
  assert str(info.value) == (
    f"{path} is damaged or not an image that can be read (1 bytes): it is "
    "none of JPEG, PNG, GIF, BMP, DIB, WEBP, TIFF, PPM, JPEG2000, AVIF; "
    "replace or remove it: data.on_damaged='skip' is for training, and "
    "evaluation counts every image."
  )


class _OutOfReach:
  """Stands in for a split: tests may run as root, who may read all files."""

  def __init__(self, error):
    self._error = error

  def describe(self, index):
    return f"gs://bucket/{index}.jpg"

  def fetch(self, handle):
    message = (
      "{{node ReadFile}} gs://bucket/7.jpg; No luck [Op:ReadFile] name: "
    )
    raise self._error(None, None, message)


@pytest.mark.parametrize(
  ("error", "damaged", "remedy"),
  [
    (tf.errors.PermissionDeniedError, False, "make it readable, by `chmod"),
    (tf.errors.UnavailableError, False, "see to its storage, and start again"),
    (tf.errors.NotFoundError, True, "replace it"),
  ],
)
def test_what_is_out_of_reach_is_told_from_what_is_damaged(
  error, damaged, remedy
):
  split: Any = _OutOfReach(error)
  found = readable.fault(split, 7, None, "replace it")
  assert found is not None
  start = f"gs://bucket/7.jpg cannot be read: No luck; {remedy}"
  assert found.message.startswith(start)
  assert found.damaged == damaged


def test_missing_directory_is_named(tmp_path):
  with pytest.raises(ValueError, match="nowhere does not exist"):
    data.open_source(
      name="folder",
      directory=str(tmp_path / "nowhere"),
      train_split="train",
      eval_split=None,
    )


def test_unknown_folder_split_lists_those_that_exist(open_folder):
  with pytest.raises(ValueError, match=r"'val'.*it holds test, train"):
    open_folder(eval_split="val")


def test_split_without_classes_is_refused(folder, open_folder):
  (folder / "val").mkdir()
  with pytest.raises(ValueError, match="val holds no class folder"):
    open_folder(eval_split="val")


def test_empty_class_folder_is_named(folder, open_folder):
  (folder / "train" / "dog").mkdir()
  (folder / "train" / "dog" / "notes.txt").write_text("none yet")
  with pytest.raises(ValueError, match="train/dog holds no image"):
    open_folder()


def test_splits_with_other_classes_are_refused(folder, open_folder):
  shutil.move(folder / "test" / "cat", folder / "test" / "dog")
  with pytest.raises(ValueError, match=r"test has 1 classes that .*train lack"):
    open_folder()


def test_evaluation_alone_needs_no_training_split(folder, open_folder):
  shutil.rmtree(folder / "train")
  assert open_folder(train_split=None).num_eval == 15


def test_opening_nothing_is_refused(open_folder):
  with pytest.raises(ValueError, match="nothing to open"):
    open_folder(train_split=None, eval_split=None)


def test_unprepared_data_set_says_the_command(tmp_path):
  command = "python -m van_jax.data.prepare 'cifar10' --directory="
  with pytest.raises(ValueError, match=command):
    data.open_source(
      name="cifar10",
      directory=str(tmp_path),
      train_split="train",
      eval_split="test",
    )


@pytest.fixture
def damaged(digits_directory, tmp_path) -> pathlib.Path:
  """Returns the test file of a copy of the digits, to be damaged."""
  shutil.copytree(digits_directory, tmp_path / "copy")
  (path,) = (tmp_path / "copy").glob("**/digits-test.tfrecord*")
  return path


def _open_digits(path: pathlib.Path, split="test") -> data.Source:
  return data.open_source(
    name="digits",
    directory=str(path.parents[2]),
    train_split=None,
    eval_split=split,
  )


def test_unknown_tfds_split_lists_those_that_exist(damaged):
  with pytest.raises(ValueError, match=r"'val' is not in .*test, train"):
    _open_digits(damaged, "val")


def test_missing_record_file_is_named(damaged):
  damaged.unlink()
  with pytest.raises(ValueError, match=r"digits-test.*cannot be opened"):
    _open_digits(damaged)


@pytest.mark.parametrize("in_memory", [True, False])
def test_truncated_record_file_is_found_at_opening(
  damaged, in_memory, monkeypatch
):
  if not in_memory:
    monkeypatch.setattr(tfds, "MAX_BYTES_IN_MEMORY", 0)
  _truncate(damaged, 0.5)
  with pytest.raises(ValueError, match=r"digits.*prepare the data set again"):
    _open_digits(damaged)


def test_flipped_byte_in_a_streamed_file_is_said(
  damaged, monkeypatch, preprocessing
):
  monkeypatch.setattr(tfds, "MAX_BYTES_IN_MEMORY", 0)
  content = bytearray(damaged.read_bytes())
  content[len(content) // 2] ^= 1
  damaged.write_bytes(content)
  with pytest.raises(ValueError, match=r"'test' of 'digits'.*cannot be read"):
    _evaluate(_open_digits(damaged), preprocessing)


def test_record_file_with_a_flipped_byte_is_named(damaged):
  content = bytearray(damaged.read_bytes())
  content[len(content) // 2] ^= 1
  damaged.write_bytes(content)
  with pytest.raises(ValueError, match=r"digits-test.*cannot be read"):
    _open_digits(damaged)


def test_broken_description_of_a_data_set_is_named(damaged):
  (damaged.parent / "dataset_info.json").write_text("{")
  with pytest.raises(ValueError, match=r"damaged.*prepare the data set again"):
    _open_digits(damaged)


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("no_such_data", r"'no_such_data' is nothing that TFDS .*NAME:VERSION"),
    ("mnist:99.0.0", r"'mnist:99\.0\.0' is nothing .*cannot be loaded at"),
  ],
)
def test_a_data_set_that_tfds_cannot_make_is_one_line(
  name, message, tmp_path, capsys
):
  with pytest.raises(SystemExit) as info:
    prepare.main([name, f"--directory={tmp_path}"])
  assert info.value.code == 1
  error = capsys.readouterr().err
  assert re.search(message, error)
  assert error.count("\n") == 1


def test_a_data_set_that_cannot_be_fetched_is_one_line(tmp_path, monkeypatch):
  class Builder:
    """Stands for a data set of TFDS."""

    def is_prepared(self):
      return False

    def download_and_prepare(self):
      raise OSError(28, "No space left on device")

  monkeypatch.setattr(tfds_folders, "_builder", lambda *_: Builder())
  with pytest.raises(errors.UserError, match=r"could not .*No space left"):
    tfds_folders.prepare("mnist", str(tmp_path))
