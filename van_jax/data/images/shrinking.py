"""Images of fewer pixels: decoded, resized and encoded again, in a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from etils import epy

from van_jax.data.images import decode
from van_jax.data.tensorflow import tf

with epy.lazy_imports():  # It needs Numba.
  from van_jax.data.images import pixels


def shrink(
  encoded: Any, *, short_side: int, quality: int, exif_rotation: bool
) -> Any:
  """Returns an image, [] string, whose short side has so many pixels.

  It is resized as evaluation does it: antialiased bicubic, Pillow's to the
  last bit. One that has no more pixels stays as it is, byte for byte, unless
  `exif_rotation` has it encoded again.

  Args:
    encoded: of any format that is read.
    short_side: pixels.
    quality: of the JPEG, 1 to 100.
    exif_rotation: whether it is turned as its EXIF data say, which the new one
      has no more.
  """
  image = decode.decode(encoded, exif_rotation=exif_rotation)

  def smaller():
    resized = tf.numpy_function(
      lambda whole: _resized(whole, short_side), [image], tf.uint8, False
    )
    return _jpeg(tf.ensure_shape(resized, [None, None, 3]), quality)

  def as_it_is():
    return _jpeg(image, quality) if exif_rotation else encoded

  is_small = tf.reduce_min(tf.shape(image)[:2]) <= short_side
  return tf.cond(is_small, as_it_is, smaller)


def _jpeg(image: Any, quality: int) -> Any:
  return tf.io.encode_jpeg(image, quality=quality)


def _resized(image: np.ndarray, short_side: int) -> np.ndarray:
  H, W, _ = image.shape
  short = min(H, W)
  height, width = H * short_side // short, W * short_side // short
  return pixels.resize(image, height, width, pixels.FILTERS["bicubic"])
