"""The same small picture, encoded in every way that is read or refused."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

SIZE = (50, 40)  # Width, height.


def smooth(mode="RGB", size=SIZE):
  """Returns a picture of soft colours."""
  rng = np.random.default_rng(0)
  coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
  return coarse.resize(size, Image.Resampling.BICUBIC).convert(mode)


def levels(*channels):
  """Returns soft levels of 16 bits, uint16 [H, W, ...]."""
  rng = np.random.default_rng(1)
  low = rng.integers(0, 256, (SIZE[1], SIZE[0], *channels))
  high = np.asarray(smooth("RGBA"), np.uint16)
  high = high[..., 0] if not channels else high[..., : channels[0]]
  return (high.astype(np.uint16) << 8) + low.astype(np.uint16)


def encode(image, format_, **options):
  """Returns the bytes of a file."""
  file = io.BytesIO()
  image.save(file, format_, **options)
  return file.getvalue()


def png16(colour_type, *channels):
  """Returns a PNG with 16 bits a channel; Pillow writes grey ones alone."""
  rows = levels(*channels).astype(">u2")
  raw = b"".join(b"\0" + row.tobytes() for row in rows)
  header = struct.pack(">IIBBBBB", *SIZE, 16, colour_type, 0, 0, 0)
  parts = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
  return b"\x89PNG\r\n\x1a\n" + b"".join(
    struct.pack(">I", len(part)) + kind + part
    + struct.pack(">I", zlib.crc32(kind + part))
    for kind, part in parts
  )  # fmt: skip


def turned(orientation, format_="JPEG"):
  """Returns a picture whose EXIF data say that it is to be turned."""
  exif = Image.Exif()
  exif[0x0112] = orientation
  return encode(smooth(), format_, exif=exif)


def _translucent():
  image = smooth("RGBA")
  image.putalpha(Image.linear_gradient("L").resize(SIZE))
  return image


def read():
  """Returns all that is read: name of a file, its content."""
  rgb, grey, bits = smooth(), smooth("L"), smooth("1")
  palette, clear = rgb.quantize(16), _translucent()
  deep = levels().astype(">u2").tobytes()
  header = b"P%d\n50 40\n65535\n"
  return {
    "a.jpg": encode(rgb, "JPEG"),
    "grey.jpeg": encode(grey, "JPEG"),
    "progressive.jfif": encode(rgb, "JPEG", progressive=True),
    "cmyk.jpg": encode(smooth("CMYK"), "JPEG", quality=50),
    "several.jpe": encode(rgb, "MPO", save_all=True, append_images=[grey]),
    "a.png": encode(rgb, "PNG"),
    "grey.png": encode(grey, "PNG"),
    "grey_alpha.png": encode(clear.convert("LA"), "PNG"),
    "alpha.png": encode(clear, "PNG"),
    "bit.png": encode(bits, "PNG"),
    "palette.png": encode(palette, "PNG"),
    "palette_clear.png": encode(palette, "PNG", transparency=3),
    "palette_alpha.png": encode(
      palette, "PNG", transparency=bytes(range(0, 160, 10))
    ),
    "colour_clear.png": encode(rgb, "PNG", transparency=(1, 2, 3)),
    "grey16.png": png16(0),
    "colour16.png": png16(2, 3),
    "alpha16.PNG": png16(6, 4),
    "moving.apng": encode(rgb, "PNG", save_all=True, append_images=[grey]),
    "a.bmp": encode(rgb, "BMP"),
    "palette.bmp": encode(palette, "BMP"),
    "bit.bmp": encode(bits, "BMP"),
    "grey.bmp": encode(grey, "BMP"),
    "a.dib": encode(rgb, "DIB"),
    "a.gif": encode(palette, "GIF"),
    "clear.gif": encode(clear, "GIF"),
    "moving.gif": encode(palette, "GIF", save_all=True, append_images=[grey]),
    "a.webp": encode(rgb, "WEBP"),
    "alpha.webp": encode(clear, "WEBP", lossless=True),
    "a.tif": encode(rgb, "TIFF"),
    "grey16.tiff": encode(Image.fromarray(levels()), "TIFF"),
    "cmyk.tif": encode(smooth("CMYK"), "TIFF"),
    "a.ppm": encode(rgb, "PPM"),
    "a.pgm": encode(grey, "PPM"),
    "a.pbm": encode(bits, "PPM"),
    "grey16.pgm": header % 5 + deep,
    "a.jp2": encode(rgb, "JPEG2000"),
    "grey16.j2k": encode(Image.fromarray(levels()), "JPEG2000"),
  }


def refused():
  """Returns what is refused: name of a file, its content."""
  rgb = smooth()
  return {
    "empty.jpg": b"",
    "page.jpg": b"<html>not found</html>",
    "cut.jpg": encode(rgb, "JPEG")[:-40],
    "cut.png": encode(rgb, "PNG")[:400],
    "cut.webp": encode(rgb, "WEBP")[:100],
    "whole_numbers.tif": encode(smooth("I"), "TIFF"),
    "fractions.tif": encode(smooth("F"), "TIFF"),
    "a.tga": encode(rgb, "TGA"),
    "a.ico": encode(rgb, "ICO"),
  }
