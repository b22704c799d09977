"""TFDS data sets of images and masks, in memory and read as they go."""

import numpy as np
import pairs_on_disk
import pytest
import tensorflow_datasets as tfds_library

from van_jax import data, errors
from van_jax.data.sources import tfds

SIZES = [(40, 56), (48, 40), (40, 56), (56, 40), (40, 56), (40, 56), (48, 40)]


class Streets(tfds_library.core.GeneratorBasedBuilder):
  """Pictures of streets, with a mask and an instance map each."""

  VERSION = tfds_library.core.Version("1.0.0")

  def _info(self):
    mask = tfds_library.features.Image(shape=(None, None, 1))
    return self.dataset_info_from_configs(
      features=tfds_library.features.FeaturesDict(
        {
          "left": tfds_library.features.Image(),
          "annotation": mask,
          "number": np.int64,
        }
      )
    )

  def _split_generators(self, dl_manager):
    del dl_manager
    return {"train": self._generate_examples()}

  def _generate_examples(self):
    for i, size in enumerate(SIZES):
      mask = pairs_on_disk.mask(i, *size)
      image = pairs_on_disk.picture(mask)
      yield i, {"left": image, "annotation": mask[..., None], "number": i}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
  directory = tmp_path_factory.mktemp("tfds")
  Streets(data_dir=str(directory)).download_and_prepare()
  return str(directory)


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
  monkeypatch.setattr(tfds, "MAX_BYTES_IN_MEMORY", bytes_in_memory)
  source = _open(directory)
  to = data.DensePreprocessing(scale=None, multiple=8)
  batches = data.eval_batches(source, batch_size=2, preprocessing=to)
  shapes = []
  for batch, (image_shape, _) in zip(batches, batches.shapes, strict=True):
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
