"""From an encoded image to the pixels that evaluation sees.

They are Pillow's to the last bit: the decoder is libjpeg's accurate one, the
resize Pillow's own arithmetic (`pixels/resampling.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from etils import epy

from van_jax.data.host import tf
from van_jax.data.preprocessing import Preprocessing

with epy.lazy_imports():
  from van_jax.data import pixels

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


def decode_box(encoded: Any, box_of: Callable[[Any, Any], Any]) -> Any:
  """Decodes a part of an image; of a JPEG it decodes little more than that.

  Args:
    encoded: as in `decode`.
    box_of: from height and width to the box (top, left, height, width), [4].
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
    return image[:, before : before + w]

  def other():
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    shape = tf.shape(image)
    top, left, h, w = tf.unstack(box_of(shape[0], shape[1]))
    return image[top : top + h, left : left + w]

  return tf.cond(tf.io.is_jpeg(encoded), jpeg, other)


def preprocess(encoded: Any, preprocessing: Preprocessing) -> Any:
  """Maps an encoded image to uint8 [image_size, image_size, 3]."""
  image = tf.numpy_function(
    functools.partial(_resize_and_crop, to=preprocessing),
    [decode(encoded)],
    tf.uint8,
    stateful=False,
  )
  size = preprocessing.image_size
  return tf.ensure_shape(image, [size, size, 3])


def _resize_and_crop(image: np.ndarray, *, to: Preprocessing) -> np.ndarray:
  height, width = to.resized(*image.shape[:2])
  size = to.image_size
  top, left = round((height - size) / 2), round((width - size) / 2)
  filter_ = pixels.FILTERS[to.interpolation]
  return pixels.resize_window(
    image, height, width, filter_, top, left, size, size
  )
