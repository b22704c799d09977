"""A sequence of operations on one image, run in one call."""

import enum

from van_jax.data.images.pixels import filters, geometry, tones
from van_jax.data.images.pixels.compiled import compiled


class Step(enum.IntEnum):
  """What a step does with its argument; most are timm's AugmentOps."""

  NOTHING = 0
  AUTO_CONTRAST = 1
  EQUALIZE = 2
  INVERT = 3
  ROTATE = 4  # Degrees, counter-clockwise.
  POSTERIZE = 5  # Bits to keep.
  SOLARIZE = 6  # Threshold.
  SOLARIZE_ADD = 7  # Addend.
  COLOR = 8  # Factor; 1 changes nothing, as in the next three.
  CONTRAST = 9
  BRIGHTNESS = 10
  SHARPNESS = 11
  SHEAR_X = 12  # Columns a row.
  SHEAR_Y = 13  # Rows a column.
  TRANSLATE_X = 14  # Part of the width, to the left.
  TRANSLATE_Y = 15  # Part of the height, upwards.
  GRAYSCALE = 16
  GAUSSIAN_BLUR = 17  # Standard deviation, pixels.


@compiled
def run(image, steps, arguments, bicubic, fill):
  """Returns the image after all steps, uint8 [H, W, 3].

  Args:
    image: uint8 [H, W, 3].
    steps: int64 [N], values of Step.
    arguments: float64 [N], of the steps.
    bicubic: bool [N], how a step interpolates; else bilinear.
    fill: uint8 [3], what geometric steps bring in from outside.
  """
  image = image.copy()  # A writable one, as each step returns.
  for i in range(len(steps)):
    image = _step(image, steps[i], arguments[i], bicubic[i], fill)
  return image


@compiled
def _step(image, step, argument, bicubic, fill):
  if step == Step.AUTO_CONTRAST:
    return tones.autocontrast(image)
  if step == Step.EQUALIZE:
    return tones.equalize(image)
  if step == Step.INVERT:
    return tones.invert(image)
  if step == Step.ROTATE:
    return geometry.rotate(image, argument, bicubic, fill)
  if step == Step.POSTERIZE:
    return tones.posterize(image, int(argument))
  if step == Step.SOLARIZE:
    return tones.solarize(image, int(argument))
  if step == Step.SOLARIZE_ADD:
    return tones.solarize_add(image, int(argument))
  if step == Step.COLOR:
    return tones.color(image, argument)
  if step == Step.CONTRAST:
    return tones.contrast(image, argument)
  if step == Step.BRIGHTNESS:
    return tones.brightness(image, argument)
  if step == Step.SHARPNESS:
    return filters.sharpness(image, argument)
  if step == Step.GRAYSCALE:
    return tones.grayscale(image)
  if step == Step.GAUSSIAN_BLUR:
    return filters.gaussian_blur(image, argument)
  return _move(image, step, argument, bicubic, fill)


@compiled
def _move(image, step, argument, bicubic, fill):
  H, W, _ = image.shape
  matrix = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
  if step == Step.SHEAR_X:
    matrix = (1.0, argument, 0.0, 0.0, 1.0, 0.0)
  elif step == Step.SHEAR_Y:
    matrix = (1.0, 0.0, 0.0, argument, 1.0, 0.0)
  elif step == Step.TRANSLATE_X:
    matrix = (1.0, 0.0, argument * W, 0.0, 1.0, 0.0)
  elif step == Step.TRANSLATE_Y:
    matrix = (1.0, 0.0, 0.0, 0.0, 1.0, argument * H)
  else:
    return image
  return geometry.affine(image, matrix, bicubic, fill)
