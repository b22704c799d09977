"""One reading of images: from an encoded one to RGB pixels, by Pillow.

`decode.py` does the same in a graph, bit for bit.
"""

import functools
import io
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from PIL import Image

from van_jax import errors
from van_jax.data import formats

_T = TypeVar("_T")
_ORIENTATION = 0x0112  # EXIF's tag.
# What turns an image of each orientation upright; 1 is upright.
_UPRIGHT = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}

_ON_THEIR_SIDES = (5, 6, 7, 8)
_TOLD_BY_HEADS = ("JPEG", "PNG")


def read(encoded: bytes, *, exif_rotation: bool = False) -> Image.Image:
  """Returns an encoded image in mode RGB.

  The content decides about the format, one of `formats.FORMATS`. Of several
  pictures the first is taken. See `to_rgb` for what becomes of the colours.

  Args:
    encoded: the bytes of a file.
    exif_rotation: whether the image is turned as its EXIF data say.

  Raises:
    UserError: why it cannot be read, for `unreadable` to put in a sentence.
  """
  return _of(encoded, lambda image: to_rgb(image, exif_rotation=exif_rotation))


def opened(encoded: bytes) -> Image.Image:
  """Returns an encoded image as it is, in the mode that it was written in.

  Args:
    encoded: as in `read`.

  Raises:
    UserError: as `read`.
  """

  def load(image):
    image.load()
    return image

  return _of(encoded, load)


def size(encoded: bytes, *, exif_rotation: bool = False) -> tuple[int, int]:
  """Returns an encoded image's height and width, from its head alone.

  Args:
    encoded: as in `read`.
    exif_rotation: whether the image is turned as its EXIF data say.

  Raises:
    UserError: as `read`.
  """

  def shape(image):
    width, height = image.size
    turned = exif_rotation and _orientation(image) in _ON_THEIR_SIDES
    turned = turned and image.format != "TIFF"  # Pillow's are turned already.
    return (width, height) if turned else (height, width)

  return _of(encoded, shape)


def size_in_head(head: bytes) -> tuple[int, int] | None:
  """Returns an image's height and width as it lies, or None.

  None is where its first bytes do not tell for certain: other formats than
  JPEG and PNG have their sizes anywhere.

  Args:
    head: the first bytes of a file, or all of them.
  """
  try:
    with Image.open(io.BytesIO(head), formats=_TOLD_BY_HEADS) as image:
      return image.height, image.width
  except Exception:  # As in `_of`, and of what is cut off.
    return None


def _of(encoded: bytes, look: Callable[[Image.Image], _T]) -> _T:
  """Returns what `look` sees in an encoded image, or raises UserError."""
  if not encoded:
    raise errors.UserError("it is empty")
  try:
    with Image.open(io.BytesIO(encoded), formats=_formats()) as image:
      return look(image)
  except errors.UserError:
    raise
  except Image.UnidentifiedImageError:
    reason = f"it is none of {', '.join(formats.FORMATS)}"
  # Pillow lets through whatever its readers stumble over in damaged files:
  # OSError and SyntaxError, and struct.error, IndexError, KeyError, ...
  except Exception as error:
    reason = str(error) or type(error).__name__
  raise errors.UserError(reason)


def pixels(encoded: bytes, *, exif_rotation: bool = False) -> np.ndarray:
  """Returns what `read` does as an array, uint8 [H, W, 3]."""
  return np.asarray(read(encoded, exif_rotation=exif_rotation))


def complaint(encoded: bytes) -> str | None:
  """Returns why an image cannot be read; None where it can."""
  try:
    read(encoded)
  except errors.UserError as error:
    return str(error)
  return None


def unreadable(name: str, size: int, reason: str) -> str:
  """Returns the line about an image that cannot be read, without a remedy."""
  return (
    f"{name} is damaged or not an image that can be read ({size} bytes): "
    f"{reason}"
  )


def is_upright(encoded: bytes) -> bool:
  """Says whether an image need not be turned; of no image, that it is."""
  try:
    with Image.open(io.BytesIO(encoded), formats=_formats()) as image:
      return _orientation(image) not in _UPRIGHT
  except Exception:  # As in `read`, which tells what is wrong.
    return True


def to_rgb(image: Image.Image, *, exif_rotation: bool = False) -> Image.Image:
  """Returns an image in mode RGB, 8 bits a channel.

  Alpha is dropped, and grey repeated; CMYK, palettes and single bits become
  colours as by Pillow's `convert("RGB")`, which torchvision and timm use. But
  of 16 bits of grey the upper 8 are kept, as of 16-bit colours and as libpng
  does, where Pillow would make white of all above 255.

  Args:
    image: in any mode.
    exif_rotation: whether it is turned as its EXIF data say.

  Raises:
    UserError: grey levels without a known range.
  """
  image.load()  # Before EXIF is asked: loading a TIFF turns it.
  turn = _UPRIGHT.get(_orientation(image)) if exif_rotation else None
  if image.mode.startswith("I;16") or (
    image.mode == "I" and image.format == "PPM"
  ):
    levels = np.asarray(image) >> 8
    image = Image.fromarray(levels.astype(np.uint8))
  elif image.mode in ("I", "F"):
    raise errors.UserError(
      f"its grey levels are 32-bit numbers (Pillow's mode {image.mode!r}), of "
      "which nothing says what is white; save it with 8 or 16 bits"
    )
  if "transparency" in image.info and image.mode == "P":
    image = image.convert("RGBA")  # The same colours, and Pillow warns not.
  rgb = image.convert("RGB")
  return rgb if turn is None else rgb.transpose(turn)


def _orientation(image: Image.Image) -> int:
  try:
    return image.getexif().get(_ORIENTATION, 1)
  except Exception:  # Damaged EXIF data tell nothing; the image may be whole.
    return 1


@functools.cache
def _formats() -> list[str]:
  """Returns the formats that this Pillow can read."""
  Image.init()
  return [name for name in formats.FORMATS if name in Image.OPEN]
