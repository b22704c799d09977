"""Crops and flips: where they come from, and how they are spread."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from van_jax.data import augment
from van_jax.data.host import tf

DRAWS = 4000


def _how(**options):
  defaults = {
    "image_size": 32,
    "crop": "none",
    "crop_scale": (0.08, 1.0),
    "crop_ratio": (3 / 4, 4 / 3),
    "pad_pixels": 4,
    "pad_mode": "reflect",
    "flip_probability": 0.0,
    "interpolation": "bicubic",
  }
  return augment.Augmentation(**(defaults | options))


def _png(pixels) -> bytes:
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, "PNG")
  return file.getvalue()


def _augmented(encoded, draws, **options):
  how = _how(**options)
  seeds = tf.data.Dataset.range(draws).map(
    lambda i: augment.augment(encoded, tf.stack([i, 7]), how)
  )
  return np.stack(list(seeds.as_numpy_iterator())).astype(int)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
  """Returns a square of 32 x 32 pixels, no two places alike."""
  return np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def boxes() -> np.ndarray:
  """Returns (top, left, height, width) of crops of 400 x 500, [DRAWS, 4]."""
  how = _how(crop="random_resized")
  drawn = tf.data.Dataset.range(DRAWS).map(
    lambda i: augment.crop_box(400, 500, tf.stack([i, 7]), how)
  )
  return np.stack(list(drawn.as_numpy_iterator())).astype(float)


def test_crop_lies_in_the_image(boxes):
  top, left, height, width = boxes.T
  assert (boxes[:, :2] >= 0).all()
  assert (boxes[:, 2:] >= 1).all()
  assert (top + height <= 400).all()
  assert (left + width <= 500).all()


def test_crop_area_is_uniform_where_every_ratio_fits(boxes):
  # Up to this area even the widest crop, 4 : 3, is at most 500 wide.
  area = boxes[:, 2] * boxes[:, 3] / (400 * 500)
  low = area[area < 0.6]
  # Standard deviation of a uniform mean is width / sqrt(12 n); five of them.
  bound = 5 * (0.6 - 0.08) / math.sqrt(12 * len(low))
  assert abs(low.mean() - 0.34) < bound
  # Pixels are whole: a crop is off by half a pixel a side.
  assert area.min() > 0.08 * 0.99


def test_crop_ratio_is_log_uniform(boxes):
  area = boxes[:, 2] * boxes[:, 3] / (400 * 500)
  small = boxes[area < 0.6]
  ratio = np.log(small[:, 3] / small[:, 2])
  assert abs(ratio).max() < math.log(4 / 3) + 0.02  # Rounding to pixels.
  bound = 5 * 2 * math.log(4 / 3) / math.sqrt(12 * len(ratio))
  assert abs(ratio.mean()) < bound


def test_crop_that_never_fits_is_central_and_in_ratio():
  how = _how(crop="random_resized", crop_scale=(1.0, 1.0))
  box = augment.crop_box(1000, 20, tf.constant([0, 1], tf.int64), how)
  # 20 wide, 20 / (3 / 4) = 27 high, in the middle of 1000.
  assert box.numpy().tolist() == [487, 0, 27, 20]


def test_one_pixel_has_a_crop():
  how = _how(crop="random_resized")
  box = augment.crop_box(1, 1, tf.constant([0, 1], tf.int64), how)
  assert box.numpy().tolist() == [0, 0, 1, 1]


def test_jpeg_crop_equals_the_crop_of_the_decoded_image(noise):
  """Training decodes JPEGs by libjpeg's fast method: some levels off."""
  smooth = Image.fromarray(noise[:8, :8]).resize(
    (160, 120), Image.Resampling.BICUBIC
  )
  file = io.BytesIO()
  smooth.save(file, "JPEG", quality=95, subsampling=0)
  decoded = np.asarray(Image.open(io.BytesIO(file.getvalue())))
  ways = [
    _augmented(encoded, 5, crop="random_resized")
    for encoded in (file.getvalue(), _png(decoded))
  ]
  assert abs(ways[0] - ways[1]).mean() < 1.5  # A pixel off gives about 4.


def test_no_crop_leaves_the_pixels_alone(noise):
  assert (_augmented(_png(noise), 2) == noise).all()


def test_flip_comes_as_often_as_said(noise):
  images = _augmented(_png(noise), 400, flip_probability=0.25)
  flipped = (images == noise[:, ::-1]).all((1, 2, 3))
  assert (flipped | (images == noise).all((1, 2, 3))).all()
  assert abs(flipped.mean() - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 400)


@pytest.mark.parametrize(
  ("mode", "numpy_mode"), [("reflect", "reflect"), ("zero", "constant")]
)
def test_pad_crops_are_windows_of_the_padded_image(noise, mode, numpy_mode):
  padded = np.pad(noise, [(2, 2), (2, 2), (0, 0)], numpy_mode)
  windows = {
    padded[i : i + 32, j : j + 32].tobytes() for i in range(5) for j in range(5)
  }
  images = _augmented(_png(noise), 300, crop="pad", pad_pixels=2, pad_mode=mode)
  found = {image.astype(np.uint8).tobytes() for image in images}
  # A given window is missed with probability (24 / 25) ** 300 = 5e-6.
  assert found == windows
