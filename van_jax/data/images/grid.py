"""A grid of images with captions, for a person to look at; Pillow only."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from van_jax import errors

_FONT_SIZE = 13  # Pixels.
_LINE = 17  # Pixels from line to line.
_GAP = 8  # Pixels between cells.
_NARROWEST = 176  # Pixels of a cell: smaller images are enlarged to it.
_MOST_LINES = 3
_ELLIPSIS = "…"


def draw(images: np.ndarray, captions: Sequence[str]) -> Image.Image:
  """Returns the images in rows, each with its caption below it.

  Small images are enlarged by a whole number, each pixel to a square. A
  caption that is too wide is broken before " + ", and then cut.

  Args:
    images: uint8 [N, H, W, 3], N >= 1.
    captions: N of them.
  """
  if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
    raise errors.UserError(
      f"images {images.shape} of {images.dtype} must be uint8 [N, H, W, 3]."
    )
  count, height, width, _ = images.shape
  if count != len(captions) or not count:
    raise errors.UserError(
      f"{count} images and {len(captions)} captions must be as many, and at "
      "least one."
    )
  scale = -(-_NARROWEST // width)
  height, width = height * scale, width * scale
  font = _font()
  texts = [_lines(caption, width, font) for caption in captions]
  below = _LINE * max(map(len, texts))
  columns = math.ceil(math.sqrt(count))
  rows = -(-count // columns)
  canvas = Image.new(
    "RGB",
    (_GAP + columns * (width + _GAP), _GAP + rows * (height + below + _GAP)),
    "white",
  )
  pen = ImageDraw.Draw(canvas)
  for i, (pixels, lines) in enumerate(zip(images, texts, strict=True)):
    left = _GAP + i % columns * (width + _GAP)
    top = _GAP + i // columns * (height + below + _GAP)
    image = Image.fromarray(pixels)
    canvas.paste(
      image.resize((width, height), Image.Resampling.NEAREST), (left, top)
    )
    for j, line in enumerate(lines):
      pen.text((left, top + height + j * _LINE), line, "black", font)
  return canvas


def _font() -> Any:  # A FreeTypeFont: Pillow's wheels can draw it.
  return ImageFont.load_default(_FONT_SIZE)


def _lines(caption: str, width: int, font: Any) -> list[str]:
  """Returns a caption in lines that are no wider than `width` pixels."""
  first, *rest = caption.split(" + ")
  lines = [first]
  for part in rest:
    joined = f"{lines[-1]} + {part}"
    if font.getlength(joined) <= width:
      lines[-1] = joined
    else:
      lines.append(f"+ {part}")
  if len(lines) > _MOST_LINES:
    lines = [*lines[: _MOST_LINES - 1], f"{lines[_MOST_LINES - 1]} {_ELLIPSIS}"]
  return [_cut(line, width, font) for line in lines]


def _cut(line: str, width: int, font: Any) -> str:
  if font.getlength(line) <= width:
    return line
  while line and font.getlength(line + _ELLIPSIS) > width:
    line = line[:-1]
  return line.rstrip() + _ELLIPSIS
