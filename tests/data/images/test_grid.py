"""A grid of images: what is drawn where, and what a caption may be."""

import numpy as np
import pytest
from PIL import ImageFont

from van_jax.data.images import grid

COLOURS = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250]], np.uint8)


def flat(size):
  """Returns one image of each colour, [3, size, size, 3]."""
  return np.broadcast_to(COLOURS[:, None, None], (3, size, size, 3))


def test_images_keep_their_pixels_and_their_order():
  image = np.random.default_rng(0).integers(0, 256, (4, 200, 180, 3), np.uint8)
  drawn = np.asarray(grid.draw(image, ["a"] * 4))
  rows = {16 + 17 + 200: (2, 3), 8: (0, 1)}  # Two gaps and a line of text.
  for top, pair in rows.items():
    for left, i in zip((8, 16 + 180), pair, strict=True):
      cell = drawn[top : top + 200, left : left + 180]
      np.testing.assert_array_equal(cell, image[i])


def test_small_images_are_enlarged_pixel_by_pixel():
  image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
  drawn = np.asarray(grid.draw(image, ["a"]))
  large = drawn[8 : 8 + 192, 8 : 8 + 192]  # 6 x 32, the first above 176.
  np.testing.assert_array_equal(large, image[0].repeat(6, 0).repeat(6, 1))


def test_each_image_has_its_caption_below_it():
  drawn = np.asarray(grid.draw(flat(200), ["", "words", ""]))
  below = drawn[8 + 200 : 8 + 200 + 17]
  is_ink = np.any(np.all(below < 128, axis=-1), axis=0)
  assert is_ink[216:416].any()  # The second cell's columns.
  assert not is_ink[:216].any()
  assert not is_ink[416:].any()


@pytest.mark.parametrize(
  ("caption", "lines"),
  [
    ("1.00 tench", ["1.00 tench"]),
    ("0.73 tench + 0.27 cat", ["0.73 tench + 0.27 cat"]),
    (
      "0.73 sulphur-crested cockatoo + 0.27 goldfish",
      ["0.73 sulphur-crested cockatoo", "+ 0.27 goldfish"],
    ),
  ],
)
def test_a_wide_caption_is_broken_at_its_parts(caption, lines):
  font = ImageFont.load_default(13)
  assert isinstance(font, ImageFont.FreeTypeFont)
  assert grid._lines(caption, 224, font) == lines


def test_no_line_is_wider_than_its_image():
  font = ImageFont.load_default(13)
  assert isinstance(font, ImageFont.FreeTypeFont)
  caption = " + ".join(["0.20 " + "nematode" * 9] * 5)
  lines = grid._lines(caption, 176, font)
  assert len(lines) == 3
  assert max(map(font.getlength, lines)) <= 176
  assert all(line.endswith("…") for line in lines)


@pytest.mark.parametrize(
  ("images", "captions", "message"),
  [
    (flat(32), ["a"], "3 images and 1 captions"),
    (flat(32)[:0], [], "at least one"),
    (flat(32) / 255, ["a"] * 3, "must be uint8"),
  ],
)
def test_what_cannot_be_drawn_is_an_error(images, captions, message):
  with pytest.raises(ValueError, match=message):
    grid.draw(images, captions)
