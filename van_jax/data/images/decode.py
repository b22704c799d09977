"""From an encoded image, or a part of it, to pixels.

They are Pillow's to the last bit: the decoder is libjpeg's accurate one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from van_jax.data.tensorflow import tf

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
