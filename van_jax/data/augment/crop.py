"""Which part of a training image is shown: random resized crops."""

from __future__ import annotations

import math
from typing import Any

from van_jax.data.host import tf

_ATTEMPTS = 10  # As torchvision's RandomResizedCrop.
DRAWS = 2 * _ATTEMPTS + 2  # Uniforms that a box takes.


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
