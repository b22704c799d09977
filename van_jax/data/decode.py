"""From an encoded image to pixels in TensorFlow, as PIL has them.

Evaluation pixels differ from PIL's by 2 grey levels at most (bicubic: 0.0005
on average): the decoder is libjpeg's accurate one, and the resize rounds to
uint8 between its horizontal and its vertical pass, as PIL does. One call that
resizes both ways differs by up to 20 levels.
"""

from __future__ import annotations

from typing import Any

from van_jax.data.host import tf
from van_jax.data.preprocessing import Preprocessing

_METHODS = {
  "bilinear": "bilinear",
  "bicubic": "bicubic",
  "lanczos": "lanczos3",
}
# Libjpeg's default is fast and up to some levels off.
_ACCURATE = "INTEGER_ACCURATE"


def decode(encoded: Any, *, accurate: bool) -> Any:
  """Decodes a JPEG, PNG, GIF or BMP, [] string, to uint8 [H, W, 3].

  The content decides about the format, not the file's name. EXIF rotation is
  ignored.
  """
  method = _ACCURATE if accurate else ""
  return tf.cond(
    tf.io.is_jpeg(encoded),
    lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method=method),
    lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
  )


def resize(image: Any, height: Any, width: Any, interpolation: str) -> Any:
  """Resizes uint8 [H, W, 3] to uint8 [height, width, 3] like PIL."""
  image = tf.cond(
    tf.shape(image)[1] != width,
    lambda: _pass(image, tf.shape(image)[0], width, interpolation),
    lambda: image,
  )
  return tf.cond(
    tf.shape(image)[0] != height,
    lambda: _pass(image, height, width, interpolation),
    lambda: image,
  )


def preprocess(encoded: Any, preprocessing: Preprocessing) -> Any:
  """Maps an encoded image to uint8 [image_size, image_size, 3]."""
  image = decode(encoded, accurate=True)
  height, width = _resized(tf.shape(image), preprocessing)
  image = resize(image, height, width, preprocessing.interpolation)
  size = preprocessing.image_size
  image = image[_margin(height, size) :, _margin(width, size) :]
  return tf.ensure_shape(image[:size, :size], [size, size, 3])


def _pass(image: Any, height: Any, width: Any, interpolation: str) -> Any:
  method = _METHODS[interpolation]
  image = tf.image.resize(image, [height, width], method, antialias=True)
  return tf.cast(tf.clip_by_value(tf.floor(image + 0.5), 0, 255), tf.uint8)


def _resized(shape: Any, to: Preprocessing) -> tuple[Any, Any]:
  if to.resize_mode == "warp":
    return to.resize_size, to.resize_size
  short = tf.minimum(shape[0], shape[1])
  return shape[0] * to.resize_size // short, shape[1] * to.resize_size // short


def _margin(length: Any, size: int) -> Any:
  """Returns what lies before a centre crop; half to even, like `round`."""
  return tf.cast(tf.round((length - size) / 2), tf.int32)
