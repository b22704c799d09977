"""The operations that policies choose among, each a row of one table.

A row of one's own is an `Operation` in any module; `augmentation.operations`
takes its import path. Importing this needs Numba.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from van_jax import errors, imports
from van_jax.data.images.pixels import compiled, filters, geometry, tones

FIELD = "augmentation.operations"


@dataclasses.dataclass(frozen=True)
class Operation:
  """What is done to an image, and how strongly at a magnitude.

  At the part m of the highest magnitude, m from 0 to 1, the argument is
  start + m * span.

  Attributes:
    apply: from (image, argument, bicubic, fill) to a new image, uint8 [H, W, 3]
      both; `bicubic` says how to interpolate (else bilinear), and `fill`, uint8
      [3], is the colour of places outside of the image. Numba compiles it.
    start: the argument at magnitude 0.
    span: what the highest magnitude adds.
    whole: whether what is added is cut off to a whole number.
    mirrored: whether it is subtracted as often as added.
  """

  apply: Callable[..., Any]
  start: float = 0.0
  span: float = 0.0
  whole: bool = False
  mirrored: bool = False


def _alone(function: Callable[..., Any]) -> Callable[..., Any]:
  """Returns `apply` of a function of the image alone."""

  @compiled
  def apply(image, argument, bicubic, fill):
    return function(image)

  return apply


def _number(function: Callable[..., Any]) -> Callable[..., Any]:
  """Returns `apply` of a function of the image and a number."""

  @compiled
  def apply(image, argument, bicubic, fill):
    return function(image, argument)

  return apply


def _whole(function: Callable[..., Any]) -> Callable[..., Any]:
  """Returns `apply` of a function of the image and a whole number."""

  @compiled
  def apply(image, argument, bicubic, fill):
    return function(image, int(argument))

  return apply


# Arguments are those of timm 0.4.12's RandAugment, increasing (inc1): a higher
# magnitude is farther from the image.
OPERATIONS = {
  "auto_contrast": Operation(_alone(tones.autocontrast)),
  "equalize": Operation(_alone(tones.equalize)),
  "invert": Operation(_alone(tones.invert)),
  "rotate": Operation(geometry.rotate, span=30.0, mirrored=True),  # Degrees.
  "posterize": Operation(  # Bits to keep.
    _whole(tones.posterize), start=4.0, span=-4.0, whole=True
  ),
  "solarize": Operation(  # The lowest value that is inverted.
    _whole(tones.solarize), start=256.0, span=-256.0, whole=True
  ),
  "solarize_add": Operation(  # Addend of values below 128.
    _whole(tones.solarize_add), span=110.0, whole=True
  ),
  # Factors: 1 changes nothing.
  "color": Operation(_number(tones.color), 1.0, 0.9, mirrored=True),
  "contrast": Operation(_number(tones.contrast), 1.0, 0.9, mirrored=True),
  "brightness": Operation(_number(tones.brightness), 1.0, 0.9, mirrored=True),
  "sharpness": Operation(_number(filters.sharpness), 1.0, 0.9, mirrored=True),
  "shear_x": Operation(geometry.shear_x, span=0.3, mirrored=True),
  "shear_y": Operation(geometry.shear_y, span=0.3, mirrored=True),
  "translate_x": Operation(geometry.translate_x, span=0.45, mirrored=True),
  "translate_y": Operation(geometry.translate_y, span=0.45, mirrored=True),
  "grayscale": Operation(_alone(tones.grayscale)),
  # Standard deviation, pixels; DeiT III's.
  "gaussian_blur": Operation(_number(filters.gaussian_blur), 0.1, 1.9),
}


def choose(names: Sequence[str]) -> tuple[Operation, ...]:
  """Returns the operations of these names or import paths.

  Raises:
    UserError: for a name that is not in the table, with the nearest that are,
      and for an import path that names no operation.
  """
  chosen = []
  for name in names:
    operation = imports.choose(name, OPERATIONS, FIELD)
    if not isinstance(operation, Operation):
      raise errors.UserError(
        f"{FIELD}: {name} is a {type(operation).__name__}, and must be an "
        "Operation of van_jax.data.augment.operations."
      )
    chosen.append(operation)
  return tuple(chosen)
