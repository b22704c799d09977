"""Masks: the numbers as they were written, or what is wrong with a file."""

import io
import struct
import zlib

import encoded as pictures
import numpy as np
import pytest
from PIL import Image

from van_jax import errors
from van_jax.data.images import masks
from van_jax.data.tensorflow import tf

NUMBERS = (np.arange(40)[:, None] * 7 + np.arange(50)) % 16


def _grey(numbers=NUMBERS) -> Image.Image:
  return Image.fromarray(numbers.astype(np.uint8))


def _palette() -> Image.Image:
  image = _grey().convert("P")
  image.putdata(NUMBERS.reshape(-1).tolist())
  rng = np.random.default_rng(0)
  image.putpalette(rng.integers(0, 256, 768, np.uint8).tobytes())
  return image


def _four_bits() -> bytes:
  """Returns a grey PNG of 4 bits a pixel, which Pillow does not write."""
  packed = (NUMBERS[:, ::2] << 4 | NUMBERS[:, 1::2]).astype(np.uint8)
  raw = b"".join(b"\0" + row.tobytes() for row in packed)
  header = struct.pack(">IIBBBBB", 50, 40, 4, 0, 0, 0, 0)
  parts = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
  return b"\x89PNG\r\n\x1a\n" + b"".join(
    struct.pack(">I", len(part))
    + kind
    + part
    + struct.pack(">I", zlib.crc32(kind + part))
    for kind, part in parts
  )


FILES = {
  "grey": pictures.encode(_grey(), "PNG"),
  "palette": pictures.encode(_palette(), "PNG"),
  "four bits": _four_bits(),
  "sixteen bits": pictures.encode(
    Image.fromarray(NUMBERS.astype(np.uint16)), "PNG"
  ),
  "tiff": pictures.encode(_grey(), "TIFF"),
  "gif": pictures.encode(_palette(), "GIF"),
}


@pytest.mark.parametrize("kind", FILES)
def test_numbers_are_read_as_they_were_written(kind):
  for found in (masks.read(FILES[kind]), masks.decode(FILES[kind]).numpy()):
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, NUMBERS)


def test_one_bit_is_two_numbers():
  image = Image.fromarray((NUMBERS > 7).astype(np.uint8) * 255).convert("1")
  found = masks.read(pictures.encode(image, "PNG"))
  np.testing.assert_array_equal(found, NUMBERS > 7)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (pictures.encode(pictures.smooth(), "PNG"), r"colours.*argmax\(-1\), 255"),
    (pictures.encode(_grey().convert("RGB"), "PNG"), r"getchannel\(0\)"),
    (pictures.encode(_grey(), "JPEG"), "JPEG, in which numbers may be changed"),
    (
      pictures.encode(Image.fromarray(NUMBERS.astype(np.uint16) * 99), "PNG"),
      "the number 1485, and must have numbers from 0 up to 255",
    ),
    (
      pictures.encode(Image.fromarray(-NUMBERS.astype(np.int32)), "TIFF"),
      "the number -15, and must have numbers from 0 up to 255",
    ),
    (
      pictures.encode(Image.fromarray(NUMBERS.astype(np.float32)), "TIFF"),
      "has fractions .* must have whole numbers",
    ),
    (b"", "it is empty"),
    (FILES["grey"][:60], "."),
  ],
)
def test_what_is_no_mask_is_refused_with_a_remedy(content, message):
  with pytest.raises(errors.UserError, match=message) as info:
    masks.read(content)
  assert "\n" not in str(info.value)
  # Out of a graph Python's error comes through.
  with pytest.raises((tf.errors.OpError, errors.UserError)):
    masks.decode(content)


def test_the_advice_about_colours_gives_class_numbers():
  colours = np.random.default_rng(0).integers(0, 256, (16, 3), np.uint8)
  file = io.BytesIO(pictures.encode(Image.fromarray(colours[NUMBERS]), "PNG"))
  rgb = np.asarray(Image.open(file))
  with pytest.raises(errors.UserError) as info:
    masks.read(file.getvalue())
  advice = str(info.value).rpartition("classes, ")[2]
  found = eval(advice, {"rgb": rgb, "colours": colours[:9], "np": np})
  np.testing.assert_array_equal(found, np.where(NUMBERS < 9, NUMBERS, 255))
