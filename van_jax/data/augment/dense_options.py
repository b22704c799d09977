"""What training does to an image and its mask: the options, checked."""

import dataclasses
import math
from typing import Any

from van_jax import errors
from van_jax.data import arguments


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseAugmentation:
  """What training does to an image and its mask, in this order.

  Both are resized, cropped, flipped and padded alike: the image with linear
  interpolation, the mask with the nearest number. The values are the authors'
  for ADE20K (VAN-Segmentation, mmsegmentation 0.12) where none are given.

  Attributes:
    image_size: pixels a side of the crop that the network sees, >= 32.
    scale: (long, short) pixels; a resized image is as large as fits into both,
      its aspect kept.
    scale_ratio: lowest and highest of the factor, uniform, that `scale` is
      multiplied by and cut off.
    max_class_share: a crop is drawn again while one class has this part of it,
      or more, or it has no two classes; void does not count. 1: any crop.
    crop_attempts: how many times a crop is drawn again, at most.
    flip_probability: of mirroring left to right.
    distortion_probability: of each of brightness, contrast, saturation and
      hue; contrast comes after brightness or last, as often.
    brightness_delta: what is added, of [0, 255] pixels, at most, up or down.
    contrast_range: lowest and highest factor of the pixels.
    saturation_range: lowest and highest factor of the saturation.
    hue_delta: what is added to the hue, in steps of 2 degrees: from -hue_delta
      to hue_delta - 1.
    fill_color: (r, g, b), 0 to 255, of what lies beyond an image that is
      smaller than the crop, whose mask is void there. The authors pad with 0
      after normalisation, which is the mean: these are its nearest numbers.
  """

  image_size: int = 512
  scale: tuple[int, int] = (2048, 512)
  scale_ratio: tuple[float, float] = (0.5, 2.0)
  max_class_share: float = 0.75
  crop_attempts: int = 10
  flip_probability: float = 0.5
  distortion_probability: float = 0.5
  brightness_delta: float = 32.0
  contrast_range: tuple[float, float] = (0.5, 1.5)
  saturation_range: tuple[float, float] = (0.5, 1.5)
  hue_delta: int = 18
  fill_color: tuple[int, int, int] = (124, 116, 104)

  def __post_init__(self):
    pairs = ("scale_ratio", "contrast_range", "saturation_range")
    for name in ("scale", *pairs, "fill_color"):
      object.__setattr__(self, name, tuple(getattr(self, name)))
    arguments.check_image_size(self.image_size, "augmentation.image_size")
    arguments.check_scale(self.scale, "augmentation.scale")
    for name in pairs:
      _check_pair(name, getattr(self, name))
    if int(min(self.scale) * self.scale_ratio[0]) < 1:
      raise errors.UserError(
        f"augmentation.scale_ratio={self.scale_ratio} leaves no pixel of "
        f"scale={self.scale}; raise it."
      )
    _check_range("max_class_share", self.max_class_share, 0, 1)
    arguments.check_whole("augmentation.crop_attempts", self.crop_attempts, 0)
    _check_range("flip_probability", self.flip_probability, 0, 1)
    _check_range("distortion_probability", self.distortion_probability, 0, 1)
    _check_range("brightness_delta", self.brightness_delta, 0, 255)
    arguments.check_whole("augmentation.hue_delta", self.hue_delta, 0)
    _check_range("hue_delta", self.hue_delta, 0, 90)
    arguments.check_color(self.fill_color, "augmentation.fill_color")


def _check_pair(field: str, value: Any) -> None:
  if len(value) != 2 or not 0 < value[0] <= value[1] < math.inf:
    raise errors.UserError(
      f"augmentation.{field}={value} must be (low, high) with 0 < low <= high."
    )


def _check_range(field: str, value: float, low: float, high: float) -> None:
  if not low <= value <= high:
    raise errors.UserError(
      f"augmentation.{field}={value} must be at least {low} and at most {high}."
    )
