"""Random crops and flips of one training image, drawn from its own seed."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from van_jax.data import checks, decode
from van_jax.data.host import tf
from van_jax.data.preprocessing import INTERPOLATIONS

CROPS = ("none", "pad", "random_resized")
PADDINGS = ("reflect", "zero")
_ATTEMPTS = 10  # As torchvision's RandomResizedCrop.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
  """What training does to an image; arguments as in `train_batches`."""

  image_size: int
  crop: str
  crop_scale: tuple[float, float]
  crop_ratio: tuple[float, float]
  pad_pixels: int
  pad_mode: str
  flip_probability: float
  interpolation: str

  def __post_init__(self):
    checks.check_image_size(self.image_size, "image_size")
    checks.check_choice(self.crop, CROPS, "crop")
    checks.check_choice(self.pad_mode, PADDINGS, "pad_mode")
    checks.check_choice(self.interpolation, INTERPOLATIONS, "interpolation")
    _check_range("crop_scale", self.crop_scale, highest=1.0)
    _check_range("crop_ratio", self.crop_ratio, highest=math.inf)
    if not 0 <= self.pad_pixels < self.image_size:
      raise ValueError(
        f"pad_pixels={self.pad_pixels} must be at least 0 and below "
        f"image_size={self.image_size}."
      )
    if not 0 <= self.flip_probability <= 1:
      raise ValueError(
        f"flip_probability={self.flip_probability} must be in [0, 1]."
      )


def augment(encoded: Any, seed: Any, how: Augmentation) -> Any:
  """Decodes, crops and flips one image.

  Args:
    encoded: [] string.
    seed: [2] int64; the image is a function of it and of `encoded`.
    how: the options.

  Returns:
    uint8 [image_size, image_size, 3].
  """
  crop_seed, flip_seed = tf.unstack(tf.random.split(seed, 2))
  size = how.image_size
  if how.crop == "random_resized":
    image = _random_resized_crop(encoded, crop_seed, how)
  else:
    image = decode.decode(encoded, accurate=False)
  image = decode.resize(image, size, size, how.interpolation)
  if how.crop == "pad":
    image = _pad_and_crop(image, crop_seed, how)
  image = tf.cond(
    tf.random.stateless_uniform([], flip_seed) < how.flip_probability,
    lambda: tf.reverse(image, [1]),
    lambda: image,
  )
  return tf.ensure_shape(image, [size, size, 3])


def crop_box(height: Any, width: Any, seed: Any, how: Augmentation) -> Any:
  """Draws the box of a random resized crop: (top, left, height, width), [4].

  Area uniform in `crop_scale` of the image's, ratio (width / height)
  log-uniform in `crop_ratio`; ten attempts to fit, then the largest central
  box within `crop_ratio`. As torchvision's RandomResizedCrop.
  """
  size_seed, place_seed = tf.unstack(tf.random.split(seed, 2))
  full_h, full_w = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
  draws = tf.random.stateless_uniform([2, _ATTEMPTS], size_seed)
  low, high = how.crop_scale
  area = full_h * full_w * (low + (high - low) * draws[0])
  low, high = (math.log(ratio) for ratio in how.crop_ratio)
  ratio = tf.exp(low + (high - low) * draws[1])
  # The central box comes last, so that it is taken when nothing else fits.
  in_ratio = tf.clip_by_value(full_w / full_h, *how.crop_ratio)
  last_w = tf.minimum(full_w, full_h * in_ratio)
  last_h = tf.minimum(full_h, full_w / in_ratio)
  w = tf.concat([tf.round(tf.sqrt(area * ratio)), [tf.round(last_w)]], 0)
  h = tf.concat([tf.round(tf.sqrt(area / ratio)), [tf.round(last_h)]], 0)
  fits = (w >= 1) & (h >= 1) & (w <= full_w) & (h <= full_h)
  fits = tf.cast(tf.concat([fits[:-1], [True]], 0), tf.int32)
  chosen = tf.argmax(fits)  # The first that fits.
  h, w = tf.maximum(h[chosen], 1), tf.maximum(w[chosen], 1)
  place = tf.random.stateless_uniform([2], place_seed)
  place = tf.where(chosen == _ATTEMPTS, [0.5, 0.5], place)  # Centred.
  top = tf.minimum(tf.floor(place[0] * (full_h - h + 1)), full_h - h)
  left = tf.minimum(tf.floor(place[1] * (full_w - w + 1)), full_w - w)
  return tf.cast(tf.stack([top, left, h, w]), tf.int32)


def _random_resized_crop(encoded: Any, seed: Any, how: Augmentation) -> Any:
  """Returns the crop, not yet resized; of a JPEG it decodes no more than it."""

  def crop_jpeg():
    shape = tf.io.extract_jpeg_shape(encoded)
    box = crop_box(shape[0], shape[1], seed, how)
    return tf.image.decode_and_crop_jpeg(encoded, box, channels=3)

  def crop_other():
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    shape = tf.shape(image)
    top, left, h, w = tf.unstack(crop_box(shape[0], shape[1], seed, how))
    return image[top : top + h, left : left + w]

  return tf.cond(tf.io.is_jpeg(encoded), crop_jpeg, crop_other)


def _pad_and_crop(image: Any, seed: Any, how: Augmentation) -> Any:
  size, pad = how.image_size, how.pad_pixels
  mode = {"reflect": "REFLECT", "zero": "CONSTANT"}[how.pad_mode]
  image = tf.pad(image, [[pad, pad], [pad, pad], [0, 0]], mode)
  top, left = tf.unstack(
    tf.random.stateless_uniform([2], seed, 0, 2 * pad + 1, tf.int32)
  )
  return image[top : top + size, left : left + size]


def _check_range(field: str, value: Any, *, highest: float) -> None:
  if len(value) != 2 or not 0 < value[0] <= value[1] <= highest:
    raise ValueError(
      f"{field}={value} must be (low, high) with 0 < low <= high"
      f"{'' if highest == math.inf else f' <= {highest:g}'}."
    )
