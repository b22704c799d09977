"""From an encoded image, or a part of it, to pixels, in a graph.

They are those of `reading.py`, Pillow's, to the last bit: the decoder is
libjpeg's accurate one. JPEG and PNG are decoded by TensorFlow, which takes no
lock of Python's; all else is by Pillow itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from van_jax.data.images import reading
from van_jax.data.tensorflow import tf

# Libjpeg's default is fast and up to some levels off.
_ACCURATE = "INTEGER_ACCURATE"
# Columns beside a crop that its outermost colours are interpolated from.
_MARGIN = 2
_PNG = b"\x89PNG\r\n\x1a\n"  # What the files start with.


def decode(encoded: Any, *, exif_rotation: bool = False) -> Any:
  """Decodes an image, [] string, to uint8 [H, W, 3].

  Args:
    encoded: of a format of `formats.FORMATS`; the content decides which.
    exif_rotation: whether it is turned as its EXIF data say.
  """

  def jpeg():
    return tf.io.decode_jpeg(encoded, channels=3, dct_method=_ACCURATE)

  return _switch(encoded, exif_rotation, jpeg, lambda image: image)


def decode_box(
  encoded: Any,
  box_of: Callable[[Any, Any], Any],
  *,
  exif_rotation: bool = False,
) -> tuple[Any, Any]:
  """Decodes a part of an image; of a JPEG it decodes little more than that.

  Args:
    encoded: as in `decode`.
    box_of: from height and width to the box (top, left, height, width), [4].
    exif_rotation: as in `decode`; the box is one of the turned image.

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

  def part_of(image):
    shape = tf.shape(image)
    top, left, h, w = tf.unstack(box_of(shape[0], shape[1]))
    place = tf.stack([top, left, shape[0], shape[1]])
    return image[top : top + h, left : left + w], place

  return _switch(encoded, exif_rotation, jpeg, part_of)


def _switch(
  encoded: Any,
  exif_rotation: bool,
  jpeg: Callable[[], Any],
  of_whole: Callable[[Any], Any],
) -> Any:
  """Returns what `jpeg` makes of a JPEG, `of_whole` of any other's pixels."""

  def png():
    return of_whole(tf.io.decode_png(encoded, channels=3))

  def read(content):
    return reading.pixels(_bytes(content), exif_rotation=exif_rotation)

  def pillow():
    image = tf.numpy_function(read, [encoded], tf.uint8, stateful=False)
    return of_whole(tf.ensure_shape(image, [None, None, 3]))

  ways = (jpeg, png, pillow)
  return tf.switch_case(_way(encoded, exif_rotation), ways)


def _way(encoded: Any, exif_rotation: bool) -> Any:
  """Returns the number of an image's way, [] int32: 0 JPEG, 1 PNG, 2 Pillow."""

  def of_jpeg():
    # TensorFlow rounds K of CMYK otherwise.
    return tf.where(tf.io.extract_jpeg_shape(encoded)[2] == 4, 2, 0)

  def of_others():
    is_png = tf.strings.substr(encoded, 0, len(_PNG)) == _PNG
    return tf.where(is_png, 1, 2)

  way = tf.cond(tf.io.is_jpeg(encoded), of_jpeg, of_others)
  if exif_rotation:
    upright = tf.numpy_function(
      lambda content: reading.is_upright(_bytes(content)),
      [encoded],
      tf.bool,
      stateful=False,
    )
    way = tf.where(tf.ensure_shape(upright, []), way, 2)
  return way


def _bytes(content: Any) -> bytes:
  """Returns a string that Python gets: out of graphs it is in an array."""
  return np.asarray(content, object).item()
