"""Colour operations of Pillow's ImageOps and ImageEnhance.

Those that map each value on its own are tables of 256 values a channel.
Enhancements blend with a degenerate image in float32 and cut off what is
after the point (libImaging/Blend.c).
"""

import numpy as np

from van_jax.data.images.pixels.compiled import compiled


@compiled
def autocontrast(image):
  """Stretches each channel to [0, 255]; as `ImageOps.autocontrast`."""
  tables = _identity()
  for channel in range(3):
    counts = _histogram(image, channel)
    low, high = 0, 255
    while low < 255 and counts[low] == 0:
      low += 1
    while high > 0 and counts[high] == 0:
      high -= 1
    if high > low:
      scale = 255.0 / (high - low)
      offset = -low * scale
      for i in range(256):
        tables[channel, i] = min(max(int(i * scale + offset), 0), 255)
  return _look_up(image, tables)


@compiled
def equalize(image):
  """Flattens each channel's histogram; as `ImageOps.equalize`."""
  tables = _identity()
  for channel in range(3):
    counts = _histogram(image, channel)
    last = 255
    while counts[last] == 0:
      last -= 1
    step = (counts.sum() - counts[last]) // 255
    if step > 0:
      below = step // 2
      for i in range(256):
        tables[channel, i] = min(below // step, 255)
        below += counts[i]
  return _look_up(image, tables)


@compiled
def invert(image):
  """Returns 255 - image; as `ImageOps.invert`."""
  return np.uint8(255) - image


@compiled
def posterize(image, bits):
  """Keeps the highest bits, 0 to 8; as `ImageOps.posterize`."""
  return image & np.uint8(256 - (1 << (8 - bits)))


@compiled
def solarize(image, threshold):
  """Inverts values from `threshold` on; as `ImageOps.solarize`."""
  tables = _identity()
  for i in range(threshold, 256):
    tables[:, i] = 255 - i
  return _look_up(image, tables)


@compiled
def solarize_add(image, addend):
  """Adds to values below 128, up to 255; as timm's solarize_add."""
  tables = _identity()
  for i in range(128):
    tables[:, i] = min(i + addend, 255)
  return _look_up(image, tables)


@compiled
def brightness(image, factor):
  """Blends with black; as `ImageEnhance.Brightness`."""
  tables = _identity()
  for i in range(256):
    tables[:, i] = _blend(0, i, factor)
  return _look_up(image, tables)


@compiled
def contrast(image, factor):
  """Blends with the mean grey; as `ImageEnhance.Contrast`."""
  H, W, _ = image.shape
  total = 0
  for y in range(H):
    for x in range(W):
      total += _grey(image, y, x)
  mean = int(total / (H * W) + 0.5)
  tables = _identity()
  for i in range(256):
    tables[:, i] = _blend(mean, i, factor)
  return _look_up(image, tables)


@compiled
def color(image, factor):
  """Blends with the grey image; as `ImageEnhance.Color`."""
  out = np.empty_like(image)
  for y in range(image.shape[0]):
    for x in range(image.shape[1]):
      grey = _grey(image, y, x)
      for c in range(3):
        out[y, x, c] = _blend(grey, image[y, x, c], factor)
  return out


@compiled
def grayscale(image):
  """Returns the grey image, in three channels; as `convert("L")`."""
  out = np.empty_like(image)
  for y in range(image.shape[0]):
    for x in range(image.shape[1]):
      out[y, x, :] = _grey(image, y, x)
  return out


@compiled
def _histogram(image, channel):
  counts = np.zeros(256, np.int64)
  for y in range(image.shape[0]):
    for x in range(image.shape[1]):
      counts[image[y, x, channel]] += 1
  return counts


@compiled
def _identity():
  """Returns the tables that change nothing, uint8 [3, 256]."""
  tables = np.empty((3, 256), np.uint8)
  for i in range(256):
    tables[:, i] = i
  return tables


@compiled
def _look_up(image, tables):
  out = np.empty_like(image)
  for y in range(image.shape[0]):
    for x in range(image.shape[1]):
      for c in range(3):
        out[y, x, c] = tables[c, image[y, x, c]]
  return out


@compiled
def _grey(image, y, x):
  red, green, blue = image[y, x, 0], image[y, x, 1], image[y, x, 2]
  weighted = np.int32(red) * 19595 + np.int32(green) * 38470
  return (weighted + np.int32(blue) * 7471 + 0x8000) >> 16


@compiled
def _blend(degenerate, value, factor):
  """Returns degenerate + factor (value - degenerate), clipped, cut off."""
  start = np.float32(degenerate)
  mixed = start + np.float32(factor) * (np.float32(value) - start)
  return np.uint8(min(max(mixed, np.float32(0)), np.float32(255)))
