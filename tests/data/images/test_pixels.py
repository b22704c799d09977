"""Compiled pixel operations against Pillow: equal to the last bit."""

import functools

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from sklearn import datasets

from van_jax.data.images import pixels
from van_jax.data.images.pixels import Step

FILL = (128, 127, 130)
BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC

# Magnitudes 0 to 10 of RandAugment, both signs, and beyond.
ARGUMENTS = {
  Step.ROTATE: [0.0, 27.0, -13.37, 90.0, 180.0],
  Step.POSTERIZE: [1, 4, 8],
  Step.SOLARIZE: [0, 26, 128, 256],
  Step.SOLARIZE_ADD: [0, 99, 110],
  Step.COLOR: [0.0, 0.1, 1.0, 1.81],
  Step.CONTRAST: [0.1, 0.55, 1.9],
  Step.BRIGHTNESS: [0.1, 0.5, 1.81],
  Step.SHARPNESS: [0.1, 1.0, 1.9],
  Step.SHEAR_X: [0.27, -0.3],
  Step.SHEAR_Y: [0.27, -0.3],
  Step.TRANSLATE_X: [0.405, -0.33, 1.5],
  Step.TRANSLATE_Y: [0.405, -0.33, 1.5],
  Step.GAUSSIAN_BLUR: [0.1, 0.3, 0.77, 1.0, 1.7, 2.0],
}
CASES = [
  (step, argument) for step in Step for argument in ARGUMENTS.get(step, [0])
]


@functools.cache
def images() -> dict[str, np.ndarray]:
  """Returns photographs, noise, and images with few or no tones."""
  rng = np.random.default_rng(0)
  flower = datasets.load_sample_images().images[1]
  return {
    "photograph": np.ascontiguousarray(flower[::2, ::3]),
    "noise": rng.integers(0, 256, (30, 41, 3), np.uint8),
    "low contrast": rng.integers(90, 97, (16, 12, 3), np.uint8),
    "one tone": np.full((9, 7, 3), 200, np.uint8),
    "black and white": np.uint8(255) * rng.integers(0, 2, (8, 8, 3), np.uint8),
    "one pixel": np.array([[[3, 200, 90]]], np.uint8),
  }


def _by_pillow(image, step, value, bicubic):
  """Does with Pillow what timm and torchvision do with it."""
  if step == Step.POSTERIZE:  # Pillow 13 refuses 0 bits; timm's had them.
    return image.point(
      [i & ~(2 ** (8 - int(value)) - 1) for i in range(256)] * 3
    )
  if step == Step.SOLARIZE_ADD:
    table = [min(255, i + int(value)) if i < 128 else i for i in range(256)]
    return image.point(table * 3)
  width, height = image.size
  matrix = {
    Step.SHEAR_X: (1, value, 0, 0, 1, 0),
    Step.SHEAR_Y: (1, 0, 0, value, 1, 0),
    Step.TRANSLATE_X: (1, 0, value * width, 0, 1, 0),
    Step.TRANSLATE_Y: (1, 0, 0, 0, 1, value * height),
  }.get(step)
  how = {"resample": BICUBIC if bicubic else BILINEAR, "fillcolor": FILL}
  if matrix:
    affine = Image.Transform.AFFINE
    return image.transform(image.size, affine, matrix, **how)
  return {
    Step.NOTHING: lambda: image,
    Step.AUTO_CONTRAST: lambda: ImageOps.autocontrast(image),
    Step.EQUALIZE: lambda: ImageOps.equalize(image),
    Step.INVERT: lambda: ImageOps.invert(image),
    Step.ROTATE: lambda: image.rotate(value, **how),
    Step.SOLARIZE: lambda: ImageOps.solarize(image, int(value)),
    Step.COLOR: lambda: ImageEnhance.Color(image).enhance(value),
    Step.CONTRAST: lambda: ImageEnhance.Contrast(image).enhance(value),
    Step.BRIGHTNESS: lambda: ImageEnhance.Brightness(image).enhance(value),
    Step.SHARPNESS: lambda: ImageEnhance.Sharpness(image).enhance(value),
    Step.GRAYSCALE: lambda: image.convert("L").convert("RGB"),
    Step.GAUSSIAN_BLUR: lambda: image.filter(ImageFilter.GaussianBlur(value)),
  }[step]()


def _ours(image, *steps):
  names, values, bicubic = zip(*steps, strict=True)
  return pixels.run(
    image,
    np.array(names, np.int64),
    np.array(values, np.float64),
    np.array(bicubic, bool),
    np.array(FILL, np.uint8),
  )


@pytest.mark.parametrize("bicubic", [False, True])
@pytest.mark.parametrize(("step", "value"), CASES)
@pytest.mark.parametrize("name", images())
def test_operation_is_pillows(name, step, value, bicubic):
  image = images()[name]
  expected = _by_pillow(Image.fromarray(image), step, value, bicubic)
  found = _ours(image, (step, value, bicubic))
  np.testing.assert_array_equal(found, np.asarray(expected))


def test_posterize_to_no_bits_is_black():
  """At magnitude 10, which Pillow refuses since its version 12."""
  found = _ours(images()["noise"], (Step.POSTERIZE, 0, False))
  assert not found.any()


def test_operations_follow_each_other():
  image = images()["photograph"]
  steps = [(Step.ROTATE, 20.0, True), (Step.EQUALIZE, 0, False)]
  expected = _by_pillow(Image.fromarray(image), *steps[0])
  expected = np.asarray(_by_pillow(expected, *steps[1]))
  np.testing.assert_array_equal(_ours(image, *steps), expected)


def test_operations_leave_their_input_alone():
  image = images()["noise"].copy()
  image.setflags(write=False)  # As TensorFlow hands its tensors over.
  for step, value in CASES:
    _ours(image, (step, value, True))


@pytest.mark.parametrize("interpolation", pixels.FILTERS)
@pytest.mark.parametrize("size", [(40, 30), (300, 500), (213, 7), (1, 1)])
def test_resize_is_pillows(interpolation, size):
  image = images()["photograph"]
  height, width = size
  how = Image.Resampling[interpolation.upper()]
  expected = Image.fromarray(image).resize((width, image.shape[0]), how)
  expected = expected.resize((width, height), how)  # Width first.
  found = pixels.resize(image, height, width, pixels.FILTERS[interpolation])
  np.testing.assert_array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("interpolation", pixels.FILTERS)
def test_window_is_a_part_of_the_resized_image(interpolation):
  image, filter_ = images()["photograph"], pixels.FILTERS[interpolation]
  whole = pixels.resize(image, 90, 120, filter_)
  place = (0, 0, *image.shape[:2])
  window = pixels.resize_window(image, place, 90, 120, filter_, (7, 30, 50, 60))
  np.testing.assert_array_equal(window, whole[7:57, 30:90])


def test_window_needs_no_more_of_the_image_than_it_depends_on():
  image, filter_ = images()["photograph"], pixels.FILTERS["bicubic"]
  H, W, _ = image.shape
  whole = pixels.resize(image, H // 2, W // 2, filter_)
  part = image[40:130, 50:140]  # 4 = 2 * 2 pixels more on either side.
  window = pixels.resize_window(
    part, (40, 50, H, W), H // 2, W // 2, filter_, (22, 27, 41, 41)
  )
  np.testing.assert_array_equal(window, whole[22:63, 27:68])
