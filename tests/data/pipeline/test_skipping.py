"""on_damaged="skip": other images of the batch take the places."""

import itertools
import shutil

import numpy as np
import plain
import pytest
from absl import logging

from van_jax import data, errors
from van_jax.data.sources import tfds
from van_jax.data.sources.folder import FileSplit
from van_jax.data.tensorflow import tf

STEPS = 3  # Of 14: an epoch of 42 images.


@pytest.fixture
def train(folder):
  """Returns the function that reads batches, ordered by `seed` alone."""

  def batches(on_damaged="skip", batch_size=14, steps=STEPS, **options):
    source = data.open_source(
      name="folder",
      directory=str(folder),
      train_split="train",
      eval_split=None,
      on_damaged=on_damaged,
    )
    read = data.train_batches(
      source,
      augmentation=plain.augmentation(crop="random_resized"),
      batch_size=batch_size,
      seed=5,
      **options,
    )
    return list(itertools.islice(read, steps))

  return batches


def _damage(folder, *names):
  for name in names:
    path = folder / "train" / name
    path.write_bytes(path.read_bytes()[:200])


def _place(whole, damaged):
  """Returns (step, place) of the only image that differs."""
  places = [
    (step, place)
    for step, (one, other) in enumerate(zip(whole, damaged, strict=True))
    for place in range(len(one["label"]))
    if not np.array_equal(one["image"][place], other["image"][place])
  ]
  (place,) = places
  return place


def test_undamaged_images_are_the_same_batches(train):
  for raised, skipped in zip(train("raise"), train("skip"), strict=True):
    assert raised.keys() == skipped.keys()
    for name in raised:
      np.testing.assert_array_equal(raised[name], skipped[name])


def test_the_next_image_of_the_batch_takes_the_place(folder, train):
  whole = train()
  _damage(folder, "bee/03.jpg")
  damaged = train()
  step, place = _place(whole, damaged)
  for name in ("image", "label"):
    following = whole[step][name][(place + 1) % 14]
    np.testing.assert_array_equal(damaged[step][name][place], following)


def test_batches_are_the_same_after_a_resume(folder, train):
  _damage(folder, "bee/03.jpg", "ant/00.jpg", "cat/02.JPEG", "cat/03.jpg")
  unbroken = train(steps=6)
  resumed = train(start_step=2, steps=4)
  for one, other in zip(unbroken[2:], resumed, strict=True):
    np.testing.assert_array_equal(one["image"], other["image"])
    np.testing.assert_array_equal(one["label"], other["label"])


def test_each_damaged_image_is_logged_once_with_the_total(
  folder, train, monkeypatch
):
  said = []
  monkeypatch.setattr(
    logging, "warning", lambda text, *arguments: said.append(text % arguments)
  )
  _damage(folder, "bee/03.jpg", "ant/01.png")
  train(steps=3 * STEPS)
  assert [text.split("; ")[1] for text in said] == ["1 so far.", "2 so far."]
  names = {text.split(" is damaged")[0] for text in said}
  assert names == {
    str(folder / "train" / n) for n in ("bee/03.jpg", "ant/01.png")
  }


def test_a_batch_without_a_good_image_is_an_error(folder, train):
  for path in (folder / "train").rglob("*.*"):
    path.write_bytes(b"")
  with pytest.raises(ValueError, match=r"none of the 14 images.*train/\w+/"):
    train()


def test_a_removed_file_is_skipped_too(folder, train):
  source = data.open_source(
    name="folder",
    directory=str(folder),
    train_split="train",
    eval_split=None,
    on_damaged="skip",
  )
  (folder / "train" / "ant" / "00.jpg").unlink()
  batches = data.train_batches(
    source, augmentation=plain.augmentation(), batch_size=42, seed=0
  )
  assert next(batches)["image"].shape == (42, 32, 32, 3)


@pytest.fixture
def fetched_again(monkeypatch):
  """Returns a function that says what a failed image gives when looked at."""
  fetch = FileSplit.fetch

  def fetched_again(outcome):
    monkeypatch.setattr(
      FileSplit,
      "fetch",
      lambda self, handle: (
        outcome() if tf.executing_eagerly() else fetch(self, handle)
      ),
    )

  return fetched_again


def test_an_image_without_permission_is_not_skipped(
  folder, train, fetched_again
):
  """Tests may run as root, whom no permission stops."""

  def refuse():
    message = f"{folder}/train/bee/03.jpg; Permission denied"
    raise tf.errors.PermissionDeniedError(None, None, message)

  _damage(folder, "bee/03.jpg")
  fetched_again(refuse)
  with pytest.raises(
    errors.UserError, match=r"bee/03\.jpg cannot be read: Perm.*chmod"
  ):
    train()


def test_an_image_that_fails_for_a_moment_is_not_skipped(
  folder, train, fetched_again
):
  """Or the batch would not be a function of (seed, step)."""
  whole = (folder / "train" / "bee" / "03.jpg").read_bytes()
  _damage(folder, "bee/03.jpg")
  fetched_again(lambda: {"image": tf.constant(whole)})
  with pytest.raises(
    errors.UserError, match=r"bee/03\.jpg failed and can be read now"
  ):
    train()


def test_evaluation_raises_all_the_same(folder, preprocessing):
  path = folder / "test" / "ant" / "00.jpg"
  path.write_bytes(path.read_bytes()[:200])
  source = data.open_source(
    name="folder",
    directory=str(folder),
    train_split=None,
    eval_split="test",
    on_damaged="skip",
  )
  with pytest.raises(ValueError, match=r"ant/00\.jpg is damaged"):
    list(data.eval_batches(source, batch_size=5, preprocessing=preprocessing))


@pytest.mark.parametrize("in_memory", [True, False])
def test_damaged_image_of_a_tfds_data_set_is_named(
  in_memory, digits_directory, tmp_path, monkeypatch
):
  """The record is whole; the PNG in it is not."""
  if not in_memory:
    monkeypatch.setattr(tfds, "MAX_BYTES_IN_MEMORY", 0)
  shutil.copytree(digits_directory, tmp_path / "copy")
  (file,) = (tmp_path / "copy").glob("**/digits-train.tfrecord*")
  contents = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
  contents[4] = contents[4].replace(b"IDAT", b"XXXX")
  with tf.io.TFRecordWriter(str(file)) as writer:
    for content in contents:
      writer.write(content)

  def train(on_damaged):
    source = data.open_source(
      name="digits",
      directory=str(tmp_path / "copy"),
      train_split="train[:40]",
      eval_split=None,
      on_damaged=on_damaged,
    )
    batches = data.train_batches(
      source, augmentation=plain.augmentation(), batch_size=20, seed=0
    )
    return list(itertools.islice(batches, 2))

  with pytest.raises(ValueError, match=r"(example|record) 4 of .*digits") as e:
    train("raise")
  assert "data.on_damaged='skip'" in str(e.value)
  assert "name:" not in str(e.value)
  assert all(len(batch["label"]) == 20 for batch in train("skip"))


def test_unknown_choice_is_refused(train):
  with pytest.raises(ValueError, match=r"on_damaged='ignore' .*raise, skip"):
    train("ignore")
