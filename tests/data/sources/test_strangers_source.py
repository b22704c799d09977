"""A source that no file of ours knows, read like all others."""

import io
import itertools
import re

import numpy as np
import plain
import pytest
from PIL import Image

from van_jax import data


def open_greys(directory, *, size=40, count=24):
  """Opens flat grey images; the target is how light they are, and half of it.

  All there is to a source: from (directory, options) to the opener of splits.
  """

  def open_split(name):
    levels = np.linspace(0, 255, count).astype(np.uint8)
    targets = levels[:, None] / np.array([255, 510], np.float32)
    parts = {"image": [_png(v, size) for v in levels], "target": targets}
    return data.MemorySplit(title=f"{directory}/{name}", parts=parts)

  return open_split


def _png(level, size):
  file = io.BytesIO()
  Image.new("L", (size, size), int(level)).save(file, "PNG")
  return file.getvalue()


NAME = f"{__name__}:open_greys"


def _open(name=NAME, on_damaged="raise", **options):
  return data.open_source(
    name=name,
    directory="anywhere",
    eval_split="test",
    on_damaged=on_damaged,
    options=options,
  )


def _check(batch):
  assert batch["target"].dtype == np.float32
  lightness = batch["image"].mean((1, 2, 3)) / 255
  expected = np.stack([lightness, lightness / 2], 1)
  np.testing.assert_allclose(batch["target"], expected, atol=1e-6)


@pytest.mark.parametrize("on_damaged", ["raise", "skip"])
def test_targets_come_with_their_images_in_training(on_damaged):
  batches = data.train_batches(
    _open(on_damaged=on_damaged),
    augmentation=plain.augmentation(),
    batch_size=8,
    seed=0,
  )
  for batch in itertools.islice(batches, 3):
    assert set(batch) == {"image", "target"}
    assert batch["image"].shape == (8, 32, 32, 3)
    _check(batch)


def test_targets_come_with_their_images_in_evaluation(preprocessing):
  """24 images for 5 processes, of 5 each: the last has 4 and a filler."""
  batches = data.eval_batches(
    _open(),
    batch_size=15,
    preprocessing=preprocessing,
    process_index=4,
    process_count=5,
  )
  whole, rest = batches
  _check(whole)
  assert set(rest) == {"image", "target", "mask"}
  assert rest["mask"].tolist() == [True, False, False]
  assert rest["target"].shape == (3, 2)


def test_a_process_without_an_example_has_targets_too(preprocessing):
  batches = data.eval_batches(
    _open(count=3),
    batch_size=4,
    preprocessing=preprocessing,
    process_index=3,
    process_count=4,
  )
  (batch,) = batches
  assert batch["target"].tolist() == [[0, 0]]
  assert batch["target"].dtype == np.float32


def test_a_source_may_have_no_classes():
  source = _open()
  assert (source.num_train, source.num_classes) == (24, 0)


def test_a_damaged_image_beside_a_target_is_replaced():
  source = _open(on_damaged="skip", count=4)
  assert isinstance(source.train, data.MemorySplit)
  source.train.parts["image"][2] = b"no image"
  batches = data.train_batches(
    source, augmentation=plain.augmentation(), batch_size=4, seed=0
  )
  batch = next(batches)
  _check(batch)
  assert len(np.unique(batch["target"][:, 0])) == 3


@pytest.mark.parametrize("parts", [{"image", "mask"}, {"target"}])
def test_parts_that_batches_cannot_have_are_refused(parts, preprocessing):
  split = data.MemorySplit(
    title="odd", parts={name: [b""] for name in parts | {"image"}}
  )
  if "image" not in parts:
    object.__setattr__(split, "fetch", lambda handle: {"target": handle})
  source = data.Source("odd", (), None, split)
  with pytest.raises(ValueError, match=r"odd hands out .* must have an 'image"):
    list(data.eval_batches(source, batch_size=1, preprocessing=preprocessing))


def test_its_options_are_checked():
  with pytest.raises(ValueError, match=r"data.options.sizes .*mean size\?"):
    _open(sizes=3)


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("folder", {"shuffle_megabytes": 1}, r"options.shuffle_megabytes is no"),
    ("digits", {"shufle_megabytes": 1}, r"did you mean shuffle_megabytes\?"),
    ("cifar10", {"shuffle": 1}, r"options.shuffle is no option"),
    ("digits", {"shuffle_megabytes": 0}, r"shuffle_megabytes=0 must be"),
    ("no_such_module:open", {}, r"data.name='no_such_module:open' cannot be"),
    (f"{__name__}:closed", {}, "cannot be imported.*closed"),
  ],
)
def test_bad_options_and_paths_are_refused(name, options, message):
  with pytest.raises(ValueError, match=message):
    _open(name, **options)


def test_unknown_names_list_the_sources_nearest_first(tmp_path):
  directory = re.escape(str(tmp_path))
  message = (
    f"name='folders' is not prepared .*--directory={directory}.* there are "
    "folder, .*digits, .*and import paths"
  )
  with pytest.raises(ValueError, match=message):
    data.open_source(name="folders", directory=str(tmp_path))


def test_a_version_of_a_tfds_data_set_is_no_import_path(digits_directory):
  source = data.open_source(
    name="digits:1.*.*", directory=digits_directory, eval_split="test"
  )
  assert source.num_eval == 364
