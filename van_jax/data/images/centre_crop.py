"""What evaluation shows of an image: its resized centre.

Pixels are those of `preprocessing.preprocess_image` to the last bit: the resize
is Pillow's own arithmetic (`pixels/resampling.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from etils import epy

from van_jax.data.images import decode
from van_jax.data.images.preprocessing import Preprocessing
from van_jax.data.tensorflow import tf

with epy.lazy_imports():  # It needs Numba.
  from van_jax.data.images import pixels


def preprocess(encoded: bytes, to: Preprocessing) -> np.ndarray:
  """Maps an encoded image to uint8 [image_size, image_size, 3]."""
  part, place = decode_centre(tf.constant(encoded), to)
  return crop_centre(part.numpy(), place.numpy(), to=to)


def decode_centre(encoded: Any, to: Preprocessing) -> tuple[Any, Any]:
  """Decodes the part of an image that its centre crop depends on.

  Returns:
    as `decode.decode_box`, for `crop_centre`.
  """

  def box(height, width):
    short = tf.minimum(height, width)
    rows, columns = _centre(height, short, to), _centre(width, short, to)
    return tf.stack([rows[0], columns[0], rows[1], columns[1]])

  return decode.decode_box(encoded, box, exif_rotation=to.exif_rotation)


def _centre(length: Any, short: Any, to: Preprocessing) -> tuple[Any, Any]:
  """Returns the first of the pixels that a crop depends on, and their number.

  Some more than needed on either side: the longest filter's, and two pixels
  for the roundings of size and margin.
  """
  length = tf.cast(length, tf.float32)
  side = length if to.resize_mode == "warp" else tf.cast(short, tf.float32)
  scale = side / to.resize_size
  half = to.image_size * scale / 2 + 3 * tf.maximum(scale, 1) + 2 * scale + 2
  first = tf.floor(tf.maximum(length / 2 - half, 0))
  last = tf.math.ceil(tf.minimum(length / 2 + half, length))
  return tf.cast(first, tf.int32), tf.cast(last - first, tf.int32)


def crop_centre(
  part: np.ndarray, place: np.ndarray, *, to: Preprocessing
) -> np.ndarray:
  """Returns the resized and cropped image, uint8 [image_size, image_size, 3].

  Args:
    part: from `decode_centre`, as is `place`.
    place: int32 [4].
    to: what the weights expect.
  """
  top, left, H, W = place.tolist()
  height, width = to.resized(H, W)
  size = to.image_size
  window = (round((height - size) / 2), round((width - size) / 2), size, size)
  filter_ = pixels.FILTERS[to.interpolation]
  return pixels.resize_window(
    part, (top, left, H, W), height, width, filter_, window
  )
