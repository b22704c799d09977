"""TFDS data sets of images and masks, in memory and read as they go."""

import numpy as np
import pairs_on_disk
import pytest
import tensorflow_datasets as tfds

from van_jax import data, errors
from van_jax.data.sources import tfds as tfds_source

SIZES = [(40, 56), (48, 40), (40, 56), (56, 40), (40, 56), (40, 56), (48, 40)]


def _pair(i):
  mask = pairs_on_disk.mask(i, *SIZES[i])
  image = pairs_on_disk.picture(mask)
  return {"left": image, "annotation": mask[..., None], "number": i}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
  """Returns a TFDS directory that has "streets"."""
  directory = str(tmp_path_factory.mktemp("tfds"))
  features = {
    "left": tfds.features.Image(),
    "annotation": tfds.features.Image(shape=(None, None, 1)),
    "number": np.int64,
  }
  tfds.dataset_builders.store_as_tfds_dataset(
    name="streets",
    version="1.0.0",
    data_dir=directory,
    features=tfds.features.FeaturesDict(features),
    split_datasets={"train": [(i, _pair(i)) for i in range(len(SIZES))]},
  )
  return directory


def _open(directory, **options):
  return data.open_source(
    name="tfds_pairs",
    directory=directory,
    eval_split="train",
    options={
      "name": "streets",
      "image": "left",
      "mask": "annotation",
      "class_names": pairs_on_disk.CLASSES,
      **options,
    },
  )


@pytest.mark.parametrize("bytes_in_memory", [0, 2**29])
def test_every_pair_comes_once_and_whole(
  directory, bytes_in_memory, monkeypatch
):
  monkeypatch.setattr(tfds_source, "MAX_BYTES_IN_MEMORY", bytes_in_memory)
  source = _open(directory)
  to = data.DensePreprocessing(scale=None, multiple=8)
  batches = data.eval_batches(source, batch_size=2, preprocessing=to)
  shapes = []
  for batch, ((image_shape,), _) in zip(batches, batches.shapes, strict=True):
    assert batch["image"].shape[1:3] == image_shape
    for image, label, (h, w) in zip(
      batch["image"][batch["mask"]],
      batch["label"][batch["mask"]],
      batch["size"][batch["mask"]],
      strict=True,
    ):
      shapes.append((int(h), int(w)))
      np.testing.assert_array_equal(image, pairs_on_disk.picture(label[:h, :w]))
  assert sorted(shapes) == sorted(SIZES)
  step = next(
    data.train_batches(
      source,
      augmentation=data.DenseAugmentation(image_size=32, scale=(64, 48)),
      batch_size=4,
    )
  )
  assert step["label"].shape == (4, 32, 32)


def test_colours_come_with_it_and_files_are_numbered(directory):
  colors = tuple((10 * i, 0, 255) for i in range(4))
  source = _open(directory, class_colors=colors)
  assert source.class_colors == colors
  assert source.train is not None
  assert source.train.stem(6) == "00000006"


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"mask": "number"}, "must be a feature of 'streets' that is an image: "),
    ({"image": "right"}, "data.options.image='right' .*annotation, left"),
    ({"class_names": ()}, "nothing says which classes"),
    ({"name": "roads"}, "is not prepared"),
  ],
)
def test_what_is_no_such_pair_is_refused(directory, options, message):
  with pytest.raises(errors.UserError, match=message):
    _open(directory, **options)
