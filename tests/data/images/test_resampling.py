"""Compiled resizing against Pillow's: equal to the last bit."""

import numpy as np
import pytest
from PIL import Image
from sklearn import datasets

from van_jax.data.images import pixels


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
  flower = datasets.load_sample_images().images[1]
  return np.ascontiguousarray(flower[::2, ::3])


@pytest.mark.parametrize("interpolation", pixels.FILTERS)
@pytest.mark.parametrize("size", [(40, 30), (300, 500), (213, 7), (1, 1)])
def test_resize_is_pillows(photograph, interpolation, size):
  image = photograph
  height, width = size
  how = Image.Resampling[interpolation.upper()]
  expected = Image.fromarray(image).resize((width, image.shape[0]), how)
  expected = expected.resize((width, height), how)  # Width first.
  found = pixels.resize(image, height, width, pixels.FILTERS[interpolation])
  np.testing.assert_array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("interpolation", pixels.FILTERS)
def test_window_is_a_part_of_the_resized_image(photograph, interpolation):
  image, filter_ = photograph, pixels.FILTERS[interpolation]
  whole = pixels.resize(image, 90, 120, filter_)
  place = (0, 0, *image.shape[:2])
  window = pixels.resize_window(image, place, 90, 120, filter_, (7, 30, 50, 60))
  np.testing.assert_array_equal(window, whole[7:57, 30:90])


def test_window_needs_no_more_of_the_image_than_it_depends_on(photograph):
  image, filter_ = photograph, pixels.FILTERS["bicubic"]
  H, W, _ = image.shape
  whole = pixels.resize(image, H // 2, W // 2, filter_)
  part = image[40:130, 50:140]  # 4 = 2 * 2 pixels more on either side.
  window = pixels.resize_window(
    part, (40, 50, H, W), H // 2, W // 2, filter_, (22, 27, 41, 41)
  )
  np.testing.assert_array_equal(window, whole[22:63, 27:68])
