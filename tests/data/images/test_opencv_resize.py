"""Compiled resizing against OpenCV's: equal to the last bit.

The checksums are those of OpenCV 4.10.0 and 5.0.0, which agree: zlib.crc32 of
cv2.resize(image, (width, height), interpolation=...).
"""

import zlib

import numpy as np
import pytest
from sklearn import datasets

from van_jax.data.images.pixels import opencv

# (height, width): CRC-32 of INTER_LINEAR, and of INTER_NEAREST of red alone.
OPENCV = {
  (40, 30): (2947688009, 72648156),
  (300, 500): (3652701771, 1928824764),
  (213, 7): (3255784853, 3655104374),
  (107, 107): (1388031095, 425355306),
  (1, 1): (810805080, 1007455905),
}


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
  flower = datasets.load_sample_images().images[1]
  return np.ascontiguousarray(flower[::2, ::3])


@pytest.mark.parametrize("size", OPENCV)
def test_images_are_resized_as_by_opencv(photograph, size):
  resized = opencv.resize(photograph, *size)
  assert resized.shape == (*size, 3)
  assert zlib.crc32(resized.tobytes()) == OPENCV[size][0]


@pytest.mark.parametrize("size", OPENCV)
def test_masks_are_resized_as_by_opencv(photograph, size):
  H, W, _ = photograph.shape
  rows = opencv.nearest(H, size[0], 0, size[0])
  columns = opencv.nearest(W, size[1], 0, size[1])
  mask = photograph[rows][:, columns, 0]
  assert zlib.crc32(mask.tobytes()) == OPENCV[size][1]


@pytest.mark.parametrize("size", [(300, 500), (90, 61)])
def test_a_window_needs_no_more_than_its_reach(photograph, size):
  H, W, _ = photograph.shape
  window = (30, 20, 55, 41)
  first_row, last_row = opencv.reach(H, size[0], 30, 55)
  first, last = opencv.reach(W, size[1], 20, 41)
  part = photograph[first_row : last_row + 1, first : last + 1]
  found = opencv.resize_window(
    np.ascontiguousarray(part),
    (first_row, first, H, W),
    size[0],
    size[1],
    window,
  )
  whole = opencv.resize(photograph, *size)
  np.testing.assert_array_equal(found, whole[30:85, 20:61])
