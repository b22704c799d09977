"""Crops and flips: where they come from, and how they are spread."""

import io
import math

import numpy as np
import plain
import pytest
from PIL import Image
from sklearn import datasets

from van_jax.data.augment import crop, render
from van_jax.data.tensorflow import tf

DRAWS = 10_000


def _png(pixels) -> bytes:
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, "PNG")
  return file.getvalue()


def _augmented(encoded, draws, **options):
  how = plain.augmentation(**options)
  decode_crop, finish = crop.cropper(how), render.compile_renderer(how)
  parts = tf.data.Dataset.range(draws).map(
    lambda i: decode_crop(encoded, tf.stack([i, 7]))
  )
  images = [finish(*part) for part in parts.as_numpy_iterator()]
  return np.stack(images).astype(int)


def _box(height, width, seed, scale=(0.08, 1.0)):
  draws = tf.random.stateless_uniform([crop.DRAWS], seed)
  return crop.draw_box(height, width, draws, scale=scale, ratio=(3 / 4, 4 / 3))


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
  """Returns a square of 32 x 32 pixels, no two places alike."""
  return np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def boxes() -> np.ndarray:
  """Returns (top, left, height, width) of crops of 400 x 500, [DRAWS, 4]."""
  drawn = tf.data.Dataset.range(DRAWS).map(
    lambda i: _box(400, 500, tf.stack([i, 7]))
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
  box = _box(1000, 20, tf.constant([0, 1], tf.int64), scale=(1.0, 1.0))
  # 20 wide, 20 / (3 / 4) = 27 high, in the middle of 1000: 973 // 2 above.
  assert box.numpy().tolist() == [486, 0, 27, 20]


def test_one_pixel_has_a_crop():
  box = _box(1, 1, tf.constant([0, 1], tf.int64))
  assert box.numpy().tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_jpeg_crop_is_pils_crop_and_resize(subsampling, interpolation):
  """Decoding no more than the crop changes no pixel of it."""
  photograph = datasets.load_sample_images().images[0]
  file = io.BytesIO()
  Image.fromarray(photograph).save(file, "JPEG", subsampling=subsampling)
  options = {"crop": "random_resized", "interpolation": interpolation}
  found = _augmented(file.getvalue(), 20, image_size=64, **options)
  decoded = Image.open(io.BytesIO(file.getvalue())).convert("RGB")
  how = Image.Resampling[interpolation.upper()]
  for i, image in enumerate(found):
    count = crop.DRAWS + render.draws(plain.augmentation())
    draws = tf.random.stateless_uniform([count], [i, 7])[: crop.DRAWS]
    top, left, h, w = crop.draw_box(
      427, 640, draws, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)
    ).numpy()
    cut = decoded.crop((left, top, left + w, top + h))
    expected = np.asarray(cut.resize((64, h), how).resize((64, 64), how))
    np.testing.assert_array_equal(image, expected)


def test_random_interpolation_is_bilinear_or_bicubic(noise):
  encoded = _png(noise)
  images = _augmented(encoded, 400, image_size=40, interpolation="random")
  ways = [
    _augmented(encoded, 1, image_size=40, interpolation=way)[0]
    for way in ("bilinear", "bicubic")
  ]
  bilinear, bicubic = ((images == way).all((1, 2, 3)) for way in ways)
  assert (bilinear | bicubic).all()
  assert abs(bicubic.mean() - 0.5) < 5 * math.sqrt(0.25 / 400)


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
