"""From an encoded mask to its numbers, a class each; uint8 [H, W].

A mask is a grey image of up to 8 bits, or one of a palette, whose colours are
left out: what is read are the numbers as they were written. PNGs of 8 bits are
decoded by TensorFlow, which takes no lock of Python's; all else is by Pillow.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from van_jax import errors
from van_jax.data.images import reading
from van_jax.data.mask_numbering import VOID
from van_jax.data.tensorflow import tf

_PNG = b"\x89PNG\r\n\x1a\n"
_DEPTH = 24  # Byte of a PNG; the next one is its kind, 0 for grey.
_LOSSLESS = ("PNG", "GIF", "BMP", "DIB", "TIFF", "PPM")
# Grey of fewer bits is spread by Pillow to 0 to 255: by these factors.
_SPREAD = {2: 85, 4: 17}
_TO_CLASSES = (
  "write a PNG of one number a pixel: of the colours [K, 3] of the classes, "
  "np.where((same := (rgb[..., None, :] == colours).all(-1)).any(-1), "
  "same.argmax(-1), 255).astype(np.uint8)"
)


def decode(encoded: Any) -> Any:
  """Decodes a mask, [] string, in a graph; see `read`."""

  def png():
    return tf.io.decode_png(encoded, channels=1)[..., 0]

  def pillow():
    mask = tf.numpy_function(_read, [encoded], tf.uint8, stateful=False)
    return tf.ensure_shape(mask, [None, None])

  head = tf.strings.substr(encoded, 0, len(_PNG))
  form = tf.strings.substr(encoded, _DEPTH, 2)
  plain = (head == _PNG) & (form == bytes([8, 0]))
  return tf.cond(plain, png, pillow)


def read(encoded: bytes) -> np.ndarray:
  """Returns a mask's numbers, uint8 [H, W].

  Args:
    encoded: the bytes of a file; not JPEG or another format that loses some.

  Raises:
    UserError: why it cannot be read, with a remedy, for a sentence.
  """
  image = reading.opened(encoded)
  if image.format not in _LOSSLESS:
    raise errors.UserError(
      f"it is of the format {image.format}, in which numbers may be changed; "
      "write masks as PNG"
    )
  if image.mode in ("L", "P", "1"):
    numbers = np.asarray(image).astype(np.uint8)
    return numbers // _spread(encoded, image.mode)
  if image.mode.startswith("I"):
    numbers = np.asarray(image)
    low, high = numbers.min(), numbers.max()
    if low < 0 or high > 255:
      raise errors.UserError(
        f"it has the number {low if low < 0 else high}, and must have numbers "
        "from 0 up to 255; renumber its classes from 0 on, with 255 for void"
      )
    return numbers.astype(np.uint8)
  if image.mode == "F":
    raise errors.UserError(
      "it has fractions (Pillow's mode F), and must have whole numbers; write "
      "a PNG of np.asarray(image).astype(np.uint8)"
    )
  raise errors.UserError(
    f"it has colours (Pillow's mode {image.mode}), and must have one number a "
    f"pixel; {_advice(image)}"
  )


def void_of(image: Any, *, exif_rotation: bool) -> Any:
  """Returns an encoded mask, void all over, of an encoded image's size.

  In a graph; of an image that does not tell its size, no bytes.

  Args:
    image: [] string.
    exif_rotation: whether the image is turned as its EXIF data say.
  """

  def make(content):
    try:
      height, width = reading.size(
        np.asarray(content, object).item(), exif_rotation=exif_rotation
      )
    except errors.UserError:
      return b""
    file = io.BytesIO()
    Image.new("L", (width, height), VOID).save(file, "PNG", compress_level=1)
    return file.getvalue()

  encoded = tf.numpy_function(make, [image], tf.string, stateful=False)
  return tf.ensure_shape(encoded, [])


def _advice(image: Image.Image) -> str:
  bands = np.asarray(image.convert("RGB"))
  if (bands == bands[..., :1]).all():
    return "write its first channel alone, as a PNG: image.getchannel(0)"
  return _TO_CLASSES


def _spread(encoded: bytes, mode: str) -> int:
  if mode != "L" or not encoded.startswith(_PNG):
    return 1
  return _SPREAD.get(encoded[_DEPTH], 1)


def _read(content: Any) -> np.ndarray:
  """Reads what Python gets of a string; out of graphs it is in an array."""
  return read(np.asarray(content, object).item())
