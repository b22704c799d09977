"""What training does to an image: the options, checked."""

import dataclasses
import math
from typing import Any

from etils import epy

from van_jax import errors
from van_jax.data import arguments
from van_jax.data.images.preprocessing import INTERPOLATIONS

with epy.lazy_imports():  # It needs Numba.
  from van_jax.data.augment import operations

CROPS = ("none", "pad", "random_resized")
PADDINGS = ("reflect", "zero")
POLICIES = ("none", "randaugment", "three_augment")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
  """What training does to an image before it leaves the host, in this order.

  The values are the official recipe's where none are given.

  Attributes:
    image_size: pixels a side, >= 32.
    crop: "random_resized" (a random part, see crop_scale and crop_ratio),
      "pad" (resize, pad, crop back at a random place) or "none" (resize).
    crop_scale: lowest and highest area of the crop, as parts of the image's.
    crop_ratio: lowest and highest width / height of the crop.
    pad_pixels: on each side, for crop="pad".
    pad_mode: "reflect" or "zero", for crop="pad".
    interpolation: "bicubic", "bilinear" or "lanczos", antialiased, or
      "random": bilinear or bicubic, drawn for each image and operation.
    flip_probability: of mirroring left to right.
    policy: "randaugment" (timm's rand-mM-nN-mstdS-inc1), "three_augment"
      (DeiT III: grey, solarize or blur) or "none" (the plain Inception crop).
    operations: what RandAugment draws from: names of rows of `operations.py`,
      or import paths (MODULE:NAME) of one's own; () for timm's fifteen.
    randaugment_ops: operations an image, N; drawn with replacement.
    randaugment_magnitude: mean magnitude of an operation, M, 0 to 10.
    randaugment_std: standard deviation of the magnitude, S.
    randaugment_probability: that a drawn operation is applied.
    color_jitter: strength of brightness, contrast and saturation; 0 for
      none. Not applied beside RandAugment, as timm has it.
    fill_color: (r, g, b), 0 to 255, that rotations, shears and shifts bring
      in; timm takes the mean of the normalisation.
    repeats: copies of an example, each augmented by itself (repeated
      augmentation), spread over a batch; an epoch keeps its number of steps.
  """

  image_size: int = 224
  crop: str = "random_resized"
  crop_scale: tuple[float, float] = (0.08, 1.0)
  crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
  pad_pixels: int = 4
  pad_mode: str = "reflect"
  interpolation: str = "random"
  flip_probability: float = 0.5
  policy: str = "randaugment"
  operations: tuple[str, ...] = ()
  randaugment_ops: int = 2
  randaugment_magnitude: float = 9.0
  randaugment_std: float = 0.5
  randaugment_probability: float = 0.5
  color_jitter: float = 0.4
  fill_color: tuple[int, int, int] = (128, 128, 128)
  repeats: int = 1

  def __post_init__(self):
    for name in ("crop_scale", "crop_ratio", "fill_color", "operations"):
      object.__setattr__(self, name, tuple(getattr(self, name)))
    arguments.check_image_size(self.image_size, "augmentation.image_size")
    arguments.check_choice(self.crop, CROPS, "augmentation.crop")
    arguments.check_choice(self.pad_mode, PADDINGS, "augmentation.pad_mode")
    arguments.check_choice(
      self.interpolation,
      (*INTERPOLATIONS, "random"),
      "augmentation.interpolation",
    )
    arguments.check_choice(self.policy, POLICIES, "augmentation.policy")
    _check_operations(self.operations, self.policy)
    _check_pair("crop_scale", self.crop_scale, highest=1.0)
    _check_pair("crop_ratio", self.crop_ratio, highest=math.inf)
    _check_range("pad_pixels", self.pad_pixels, 0, self.image_size - 1)
    _check_range("flip_probability", self.flip_probability, 0, 1)
    arguments.check_whole(
      "augmentation.randaugment_ops", self.randaugment_ops, 1
    )
    _check_range("randaugment_magnitude", self.randaugment_magnitude, 0, 10)
    _check_range("randaugment_std", self.randaugment_std, 0, 10)
    _check_range("randaugment_probability", self.randaugment_probability, 0, 1)
    _check_range("color_jitter", self.color_jitter, 0, math.inf)
    arguments.check_color(self.fill_color, "augmentation.fill_color")
    arguments.check_whole("augmentation.repeats", self.repeats, 1)


def _check_operations(names: tuple[str, ...], policy: str) -> None:
  if not names:
    return
  if policy != "randaugment":
    raise errors.UserError(
      f"augmentation.operations={names} are for policy='randaugment', and "
      f"policy={policy!r} has its own; leave them ()."
    )
  operations.choose(names)


def _check_pair(field: str, value: Any, *, highest: float) -> None:
  if len(value) != 2 or not 0 < value[0] <= value[1] <= highest:
    raise errors.UserError(
      f"augmentation.{field}={value} must be (low, high) with 0 < low <= high"
      f"{'' if highest == math.inf else f' <= {highest:g}'}."
    )


def _check_range(field: str, value: float, low: float, high: float) -> None:
  if not low <= value <= high:
    raise errors.UserError(
      f"augmentation.{field}={value} must be at least {low}"
      f"{'' if high == math.inf else f' and at most {high}'}."
    )
