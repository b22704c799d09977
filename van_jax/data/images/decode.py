"""From an encoded image to the pixels that evaluation sees.

They are Pillow's to the last bit: the decoder is libjpeg's accurate one, the
resize Pillow's own arithmetic (`pixels/resampling.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from etils import epy

from van_jax.data.host import tf
from van_jax.data.images.preprocessing import Preprocessing

with epy.lazy_imports():
  from van_jax.data.images import pixels

# Libjpeg's default is fast and up to some levels off.
_ACCURATE = "INTEGER_ACCURATE"
# Columns beside a crop that its outermost colours are interpolated from.
_MARGIN = 2


def decode(encoded: Any) -> Any:
  """Decodes a JPEG, PNG, GIF or BMP, [] string, to uint8 [H, W, 3].

  The content decides about the format, not the file's name. EXIF rotation is
  ignored.
  """
  return tf.cond(
    tf.io.is_jpeg(encoded),
    lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method=_ACCURATE),
    lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
  )


def decode_box(
  encoded: Any, box_of: Callable[[Any, Any], Any]
) -> tuple[Any, Any]:
  """Decodes a part of an image; of a JPEG it decodes little more than that.

  Args:
    encoded: as in `decode`.
    box_of: from height and width to the box (top, left, height, width), [4].

  Returns:
    the part, uint8 [h, w, 3], and its place: its first row and column, and the
    image's height and width, int32 [4].
  """

  def jpeg():
    shape = tf.io.extract_jpeg_shape(encoded)
    top, left, h, w = tf.unstack(box_of(shape[0], shape[1]))
    before = tf.minimum(left, _MARGIN)
    after = tf.minimum(shape[1] - left - w, _MARGIN)
    image = tf.image.decode_and_crop_jpeg(
      encoded,
      [top, left - before, h, before + w + after],
      channels=3,
      dct_method=_ACCURATE,
    )
    place = tf.stack([top, left, shape[0], shape[1]])
    return image[:, before : before + w], place

  def other():
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    shape = tf.shape(image)
    top, left, h, w = tf.unstack(box_of(shape[0], shape[1]))
    place = tf.stack([top, left, shape[0], shape[1]])
    return image[top : top + h, left : left + w], place

  return tf.cond(tf.io.is_jpeg(encoded), jpeg, other)


def preprocess(encoded: bytes, to: Preprocessing) -> np.ndarray:
  """Maps an encoded image to uint8 [image_size, image_size, 3]."""
  part, place = decode_centre(tf.constant(encoded), to)
  return crop_centre(part.numpy(), place.numpy(), to=to)


def decode_centre(encoded: Any, to: Preprocessing) -> tuple[Any, Any]:
  """Decodes the part of an image that its centre crop depends on.

  Returns:
    as `decode_box`, for `crop_centre`.
  """

  def box(height, width):
    short = tf.minimum(height, width)
    rows, columns = _centre(height, short, to), _centre(width, short, to)
    return tf.stack([rows[0], columns[0], rows[1], columns[1]])

  return decode_box(encoded, box)


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
