"""Which part of a training image is shown: random resized crops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from etils import epy

from van_jax.data.augment.options import Augmentation
from van_jax.data.images import decode
from van_jax.data.tensorflow import tf

with epy.lazy_imports():  # It needs Numba.
  from van_jax.data.augment import render

_ATTEMPTS = 10  # As torchvision's RandomResizedCrop.
DRAWS = 2 * _ATTEMPTS + 2  # Uniforms that a box takes.


def cropper(
  how: Augmentation, *, exif_rotation: bool = False
) -> Callable[[Any, Any], tuple[Any, Any]]:
  """Returns the function that draws and decodes the crop of one image.

  It maps an encoded image, [] string, and a seed, [2] int64, of which the
  image is a function, to the crop, uint8 [h, w, 3], not yet resized, and the
  random numbers that `render.py` finishes it with: TensorFlow's stateless
  ones.
  """
  count = DRAWS + render.draws(how)

  def decode_crop(encoded, seed):
    draws = tf.random.stateless_uniform([count], seed)
    if how.crop != "random_resized":
      image = decode.decode(encoded, exif_rotation=exif_rotation)
      return image, draws[DRAWS:]
    image, _ = decode.decode_box(
      encoded,
      lambda height, width: draw_box(
        height,
        width,
        draws[:DRAWS],
        scale=how.crop_scale,
        ratio=how.crop_ratio,
      ),
      exif_rotation=exif_rotation,
    )
    return image, draws[DRAWS:]

  return decode_crop


def draw_box(
  height: Any,
  width: Any,
  draws: Any,
  *,
  scale: tuple[float, float],
  ratio: tuple[float, float],
) -> Any:
  """Returns the box of a random resized crop: (top, left, height, width), [4].

  Area uniform in `scale` of the image's, ratio (width / height) log-uniform;
  ten attempts to fit, then the largest central box within `ratio`. As
  torchvision's RandomResizedCrop.

  Args:
    height: of the image, pixels.
    width: of the image, pixels.
    draws: float32 [DRAWS], uniform in [0, 1).
    scale: lowest and highest area, as parts of the image's.
    ratio: lowest and highest width / height.
  """
  full_h, full_w = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
  low, high = scale
  areas = full_h * full_w * (low + (high - low) * draws[:_ATTEMPTS])
  low, high = (math.log(end) for end in ratio)
  ratios = tf.exp(low + (high - low) * draws[_ATTEMPTS : 2 * _ATTEMPTS])
  # The central box comes last, so that it is taken when nothing else fits.
  in_ratio = tf.clip_by_value(full_w / full_h, *ratio)
  last_w = tf.minimum(full_w, full_h * in_ratio)
  last_h = tf.minimum(full_h, full_w / in_ratio)
  w = tf.concat([tf.round(tf.sqrt(areas * ratios)), [tf.round(last_w)]], 0)
  h = tf.concat([tf.round(tf.sqrt(areas / ratios)), [tf.round(last_h)]], 0)
  fits = (w >= 1) & (h >= 1) & (w <= full_w) & (h <= full_h)
  fits = tf.cast(tf.concat([fits[:-1], [True]], 0), tf.int32)
  chosen = tf.argmax(fits)  # The first that fits.
  h, w = tf.maximum(h[chosen], 1), tf.maximum(w[chosen], 1)
  over = tf.stack([full_h - h, full_w - w])
  drawn = tf.minimum(tf.floor(draws[-2:] * (over + 1)), over)
  corner = tf.where(chosen == _ATTEMPTS, over // 2, drawn)
  return tf.cast(tf.concat([corner, [h, w]], 0), tf.int32)
