"""The rows of the table against Pillow: equal to the last bit."""

import functools

import numpy as np
import plain
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from sklearn import datasets

from van_jax.data.augment import operations, program, render

FILL = (128, 127, 130)
BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC

# Magnitudes 0 to 10 of RandAugment, both signs, and beyond; 0 if not given.
ARGUMENTS = {
  "rotate": [0.0, 27.0, -13.37, 90.0, 180.0],
  "posterize": [1, 4, 8],
  "solarize": [0, 26, 128, 256],
  "solarize_add": [0, 99, 110],
  "color": [0.0, 0.1, 1.0, 1.81],
  "contrast": [0.1, 0.55, 1.9],
  "brightness": [0.1, 0.5, 1.81],
  "sharpness": [0.1, 1.0, 1.9],
  "shear_x": [0.27, -0.3],
  "shear_y": [0.27, -0.3],
  "translate_x": [0.405, -0.33, 1.5],
  "translate_y": [0.405, -0.33, 1.5],
  "gaussian_blur": [0.1, 0.3, 0.77, 1.0, 1.7, 2.0],
}
CASES = [
  (name, argument)
  for name in (*operations.OPERATIONS, "nothing")
  for argument in ARGUMENTS.get(name, [0])
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
  if step == "posterize":  # Pillow 13 refuses 0 bits; timm's had them.
    return image.point(
      [i & ~(2 ** (8 - int(value)) - 1) for i in range(256)] * 3
    )
  if step == "solarize_add":
    table = [min(255, i + int(value)) if i < 128 else i for i in range(256)]
    return image.point(table * 3)
  width, height = image.size
  matrix = {
    "shear_x": (1, value, 0, 0, 1, 0),
    "shear_y": (1, 0, 0, value, 1, 0),
    "translate_x": (1, 0, value * width, 0, 1, 0),
    "translate_y": (1, 0, 0, 0, 1, value * height),
  }.get(step)
  how = {"resample": BICUBIC if bicubic else BILINEAR, "fillcolor": FILL}
  if matrix:
    affine = Image.Transform.AFFINE
    return image.transform(image.size, affine, matrix, **how)
  return {
    "nothing": lambda: image,
    "auto_contrast": lambda: ImageOps.autocontrast(image),
    "equalize": lambda: ImageOps.equalize(image),
    "invert": lambda: ImageOps.invert(image),
    "rotate": lambda: image.rotate(value, **how),
    "solarize": lambda: ImageOps.solarize(image, int(value)),
    "color": lambda: ImageEnhance.Color(image).enhance(value),
    "contrast": lambda: ImageEnhance.Contrast(image).enhance(value),
    "brightness": lambda: ImageEnhance.Brightness(image).enhance(value),
    "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(value),
    "grayscale": lambda: image.convert("L").convert("RGB"),
    "gaussian_blur": lambda: image.filter(ImageFilter.GaussianBlur(value)),
  }[step]()


def _ours(image, *steps):
  names, values, bicubic = zip(*steps, strict=True)
  known = {name: i for i, name in enumerate(operations.OPERATIONS)}
  return program.runner(operations.choose(list(known)))(
    image,
    np.array([known.get(name, program.NOTHING) for name in names]),
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
  found = _ours(images()["noise"], ("posterize", 0, False))
  assert not found.any()


def test_operations_follow_each_other():
  image = images()["photograph"]
  steps = [("rotate", 20.0, True), ("equalize", 0, False)]
  expected = _by_pillow(Image.fromarray(image), *steps[0])
  expected = np.asarray(_by_pillow(expected, *steps[1]))
  np.testing.assert_array_equal(_ours(image, *steps), expected)


def test_operations_leave_their_input_alone():
  image = images()["noise"].copy()
  image.setflags(write=False)  # As TensorFlow hands its tensors over.
  for step, value in CASES:
    _ours(image, (step, value, True))


def test_unknown_names_are_refused_with_the_nearest_first():
  with pytest.raises(
    ValueError, match=r"operations='rotat' is unknown; there are rotate, "
  ):
    plain.augmentation(policy="randaugment", operations=("rotat",))


def test_an_import_path_of_something_else_is_refused():
  with pytest.raises(ValueError, match=r"math:pi is a float, .* Operation"):
    plain.augmentation(policy="randaugment", operations=("math:pi",))


def test_operations_beside_another_policy_are_refused():
  with pytest.raises(ValueError, match=r"policy='none' has its own"):
    plain.augmentation(policy="none", operations=("rotate",))


def _half_black(image, argument, bicubic, fill):
  """Paints a part of the columns, from the left."""
  out = image.copy()
  out[:, : int(argument * image.shape[1])] = 0
  return out


half_black = operations.Operation(_half_black, span=1.0)


def test_a_strangers_operation_runs_by_its_import_path():
  """At magnitude 5: a half; nothing but this file knows it."""
  how = plain.augmentation(
    policy="randaugment",
    operations=(f"{__name__}:half_black",),
    randaugment_ops=1,
    randaugment_magnitude=5.0,
    randaugment_std=0.0,
    randaugment_probability=1.0,
  )
  image = np.full((32, 32, 3), 7, np.uint8)
  draws = np.full(render.draws(how), 0.5, np.float32)
  expected = image.copy()
  expected[:, :16] = 0
  found = render.compile_renderer(how)(image, draws)
  np.testing.assert_array_equal(found, expected)
