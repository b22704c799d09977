"""Files that are images, and not as one expects them."""

import itertools

import numpy as np
import plain
import pytest
from PIL import Image

from van_jax import data


def _smooth(size, mode="RGB"):
  rng = np.random.default_rng(0)
  channels = len(Image.new(mode, (1, 1)).getbands())
  coarse = Image.frombytes(mode, (6, 5), rng.bytes(6 * 5 * channels))
  return coarse.resize(size, Image.Resampling.BICUBIC)


def _png_named_jpeg(path):
  _smooth((50, 40)).save(path, "PNG")


def _cmyk(path):
  _smooth((50, 40), "CMYK").save(path, "JPEG")


def _grey(path):
  _smooth((50, 40), "L").save(path, "JPEG")


def _grey_png(path):
  _smooth((50, 40), "L").save(path, "PNG")


def _alpha_png(path):
  _smooth((50, 40), "RGBA").save(path, "PNG")


def _palette_png(path):
  _smooth((50, 40)).quantize(16).save(path, "PNG")


def _one_pixel(path):
  _smooth((1, 1)).save(path, "JPEG")


def _wide(path):
  _smooth((8000, 10)).save(path, "JPEG")


def _tall(path):
  _smooth((10, 8000)).save(path, "PNG")


def _rotated(path):
  exif = Image.Exif()
  exif[0x0112] = 6  # Orientation: a quarter turn.
  _smooth((50, 40)).save(path, "JPEG", exif=exif)


ODD = {
  write.__name__.strip("_"): write
  for write in (
    _png_named_jpeg,
    _cmyk,
    _grey,
    _grey_png,
    _alpha_png,
    _palette_png,
    _one_pixel,
    _wide,
    _tall,
    _rotated,
  )
}


@pytest.fixture
def odd_folder(tmp_path):
  """Returns a folder data set of the odd images and nothing else."""
  for split in ("train", "test"):
    folder = tmp_path / split / "odd"
    folder.mkdir(parents=True)
    for name, write in ODD.items():
      write(folder / f"{name}.jpeg")
  return tmp_path


@pytest.fixture
def source(odd_folder):
  return data.open_source(
    name="folder",
    directory=str(odd_folder),
    train_split="train",
    eval_split="test",
  )


@pytest.mark.parametrize(
  "options",
  [
    {"crop": "random_resized", "policy": "three_augment", "color_jitter": 0.3},
    {"crop": "pad"},
  ],
  ids=lambda options: options.get("policy", "pad"),
)
def test_training_takes_them_all(source, options):
  batches = data.train_batches(
    source,
    augmentation=plain.augmentation(interpolation="random", **options),
    batch_size=len(ODD),
    seed=0,
  )
  for batch in itertools.islice(batches, 5):
    assert batch["image"].shape == (len(ODD), 32, 32, 3)


def test_evaluation_sees_what_pillow_sees(source, odd_folder, preprocessing):
  (batch,) = data.eval_batches(
    source, batch_size=len(ODD), preprocessing=preprocessing
  )
  for image, name in zip(batch["image"], sorted(ODD), strict=True):
    path = odd_folder / "test" / "odd" / f"{name}.jpeg"
    expected = data.preprocess_image(path, preprocessing)
    # Pillow and TensorFlow round K of CMYK differently.
    tolerance = 2 if name == "cmyk" else 0
    difference = np.abs(image.astype(int) - expected).max()
    assert difference <= tolerance, (name, difference)


def test_exif_rotation_is_ignored(source, odd_folder, preprocessing):
  """As timm's training and the published scores have it."""
  path = odd_folder / "test" / "odd" / "rotated.jpeg"
  with Image.open(path) as image:
    assert image.getexif()[0x0112] == 6
    pixels = np.asarray(image)
  unturned = data.preprocess_image(pixels, preprocessing)
  (batch,) = data.eval_batches(
    source, batch_size=len(ODD), preprocessing=preprocessing
  )
  seen = batch["image"][sorted(ODD).index("rotated")]
  np.testing.assert_array_equal(seen, unturned)
