"""Photometric distortion against OpenCV's colours and plain arithmetic.

The checksums are those of OpenCV 4.10.0 and 5.0.0, which agree: of
cv2.cvtColor(..., COLOR_RGB2HSV), one channel changed in NumPy as mmsegmentation
0.12 does it, and COLOR_HSV2RGB.
"""

import zlib

import numpy as np
import pytest

from van_jax.data.images.pixels import photometric


def colours() -> np.ndarray:
  """Returns 86,528 colours from all over, uint8 [1352, 64, 3]."""
  levels = np.arange(0, 256, 5, dtype=np.uint8)
  mesh = np.meshgrid(levels, levels, levels[:32], indexing="ij")
  return np.stack(mesh, -1).reshape(1352, 64, 3)


@pytest.mark.parametrize(
  ("factor", "checksum"), [(0.5, 2630682937), (1.3, 726042267)]
)
def test_saturation_is_opencvs(factor, checksum):
  image = colours()
  photometric.saturate(image, factor)
  assert zlib.crc32(image.tobytes()) == checksum


@pytest.mark.parametrize(
  ("steps", "checksum"), [(-18, 1190644223), (17, 2820043498)]
)
def test_hue_is_opencvs(steps, checksum):
  image = colours()
  photometric.turn_hue(image, steps)
  assert zlib.crc32(image.tobytes()) == checksum


def test_brightness_and_contrast_clip_and_cut_off():
  table = photometric.scaled(1.25, -10.0)
  exact = np.clip(1.25 * np.arange(256) - 10, 0, 255).astype(np.uint8)
  np.testing.assert_array_equal(table, exact)
  image = colours()
  photometric.look_up(image, table)
  np.testing.assert_array_equal(image, exact[colours()])
