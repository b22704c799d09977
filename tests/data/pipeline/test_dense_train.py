"""Training batches of images with masks: steps, hosts, and damaged pairs."""

import itertools
import logging

import numpy as np
import pairs_on_disk
import plain
import pytest
from PIL import Image

from van_jax import data, errors

HOW = data.DenseAugmentation(image_size=32, scale=(56, 40))


@pytest.fixture
def directory(tmp_path):
  pairs_on_disk.write(tmp_path, "train", [(40, 56), (48, 40)] * 6)
  return tmp_path


def _batches(source, steps, *, batch_size=4, **options):
  batches = data.train_batches(
    source, augmentation=HOW, batch_size=batch_size, **options
  )
  return list(itertools.islice(batches, steps))


def _same(one, other):
  for name in ("image", "label"):
    np.testing.assert_array_equal(one[name], other[name])


def test_a_batch_is_a_function_of_seed_and_step(directory):
  source = pairs_on_disk.open_pairs(directory)
  unbroken = _batches(source, 5, seed=3)
  for batch in unbroken:
    assert {k: (v.shape, v.dtype) for k, v in batch.items()} == {
      "image": ((4, 32, 32, 3), np.uint8),
      "label": ((4, 32, 32), np.uint8),
    }
    assert set(np.unique(batch["label"])) <= {0, 1, 2, 3, 255}
  for resumed, batch in zip(
    _batches(source, 2, seed=3, start_step=3), unbroken[3:], strict=True
  ):
    _same(resumed, batch)
  (other,) = _batches(source, 1, seed=4)
  assert (other["label"] != unbroken[0]["label"]).any()


def test_images_without_masks_teach_nothing(directory):
  source = pairs_on_disk.open_pairs(directory, unlabelled=True)
  with pytest.raises(errors.UserError, match="train has no labels to learn"):
    _batches(source, 1)


def test_two_hosts_have_the_batch_of_one(directory):
  source = pairs_on_disk.open_pairs(directory)
  (whole,) = _batches(source, 1)
  parts = [
    _batches(source, 1, process_index=p, process_count=2)[0] for p in (0, 1)
  ]
  _same(
    whole,
    {k: np.concatenate([p[k] for p in parts]) for k in ("image", "label")},
  )


def test_an_epoch_shows_each_pair_once_and_another_crop_each_time(directory):
  source = pairs_on_disk.open_pairs(directory)
  images = np.concatenate([batch["image"] for batch in _batches(source, 6)])
  crops = {image.tobytes() for image in images}
  assert len(crops) == 24


def _spoil(directory, kind):
  path = directory / "labels/train/05.png"
  if kind == "size":
    Image.fromarray(pairs_on_disk.mask(0, 40, 48)).save(path)
  elif kind == "class":
    Image.fromarray(np.full((48, 40), 7, np.uint8)).save(path)
  elif kind == "void":
    Image.fromarray(np.full((48, 40), 255, np.uint8)).save(path)
  elif kind == "colours":
    Image.new("RGB", (40, 48), (0, 128, 0)).save(path)
  elif kind == "truncated":
    path.write_bytes(path.read_bytes()[:70])
  else:
    path.unlink()


MESSAGES = {
  "size": "the image has 40 x 48 pixels and its mask 48 x 40, and both must",
  "class": "its mask has the number 7, and must have 0 to 3, the 4 classes, or "
  r"a void one \(255\)",
  "void": r"its mask is void all over \(255\)",
  "colours": r"its mask cannot be read .*it has colours \(Pillow's mode RGB\)",
  "truncated": r"its mask cannot be read \(70 bytes\)",
  "gone": r"cannot be read: .*labels/train/05\.png; No such file",
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_damaged_pair_is_named_with_what_is_wrong(directory, kind):
  source = pairs_on_disk.open_pairs(directory)
  _spoil(directory, kind)
  with pytest.raises(errors.UserError, match=MESSAGES[kind]) as info:
    _batches(source, 3)
  message = str(info.value)
  assert message.startswith(f"{directory}/images/train/05.png (mask ")
  assert message.endswith("replace it, or set data.on_damaged='skip'.")
  assert "\n" not in message


def test_skipping_shows_another_pair_and_names_the_damaged_one(
  directory, caplog
):
  whole = pairs_on_disk.open_pairs(directory)
  expected = _batches(whole, 3)
  _spoil(directory, "size")
  source = pairs_on_disk.open_pairs(directory, on_damaged="skip")
  with caplog.at_level(logging.WARNING):
    found = _batches(source, 3)
  assert "train/05.png" in caplog.text
  assert "is damaged, and skipped; 1 so far" in caplog.text
  changed = sum(
    (one["image"] != other["image"]).any((1, 2, 3)).sum()
    for one, other in zip(found, expected, strict=True)
  )
  assert changed == 1


def test_a_void_mask_may_be_allowed(directory):
  _spoil(directory, "void")
  source = pairs_on_disk.open_pairs(directory, allow_void=True)
  assert len(_batches(source, 3)) == 3


def test_options_for_other_data_are_refused(directory):
  source = pairs_on_disk.open_pairs(directory, evaluation="train")
  with pytest.raises(errors.UserError, match="give a DenseAugmentation"):
    data.train_batches(source, augmentation=plain.augmentation(), batch_size=4)
  with pytest.raises(errors.UserError, match="give a DensePreprocessing"):
    data.eval_batches(source, preprocessing=data.Preprocessing())


def test_masks_are_refused_for_images_without(digits):
  with pytest.raises(errors.UserError, match=r"no masks .*give a Augmentation"):
    data.train_batches(digits, augmentation=HOW, batch_size=4)
