"""Neighbourhood operations of Pillow: sharpness and Gaussian blur."""

import math

import numpy as np

from van_jax.data.images.pixels.compiled import compiled
from van_jax.data.images.pixels.tones import _blend

_BLUR_PASSES = 3


@compiled
def sharpness(image, factor):
  """Blends with the smoothed image; as `ImageEnhance.Sharpness`."""
  H, W, _ = image.shape
  out = image.copy()
  for y in range(1, H - 1):  # The border is not smoothed: it stays as it is.
    for x in range(1, W - 1):
      for c in range(3):
        total = 4 * np.int32(image[y, x, c])  # The centre weighs 5 of 13.
        for row in range(y - 1, y + 2):
          for column in range(x - 1, x + 2):
            total += image[row, column, c]
        # Never half-way between two numbers, 13 being odd.
        out[y, x, c] = _blend((2 * total + 13) // 26, image[y, x, c], factor)
  return out


@compiled
def gaussian_blur(image, radius):
  """Blurs by three boxes a direction; as `ImageFilter.GaussianBlur`.

  Args:
    image: uint8 [H, W, 3].
    radius: standard deviation, pixels, above 0.
  """
  box = _box_radius(np.float32(radius))
  image = _blur_rows(image, box)
  turned = np.ascontiguousarray(image.transpose((1, 0, 2)))
  turned = _blur_rows(turned, box)
  return np.ascontiguousarray(turned.transpose((1, 0, 2)))


@compiled
def _box_radius(radius):
  """Returns the box whose three passes have this standard deviation.

  In float32 from operation to operation, as _gaussian_blur_radius is.
  """
  one, two, three = np.float32(1), np.float32(2), np.float32(3)
  sigma2 = radius * radius / np.float32(_BLUR_PASSES)
  length = np.float32(math.sqrt(12.0 * sigma2 + 1.0))
  whole = np.float32(math.floor((length - 1.0) / 2.0))
  part = (two * whole + one) * (whole * (whole + one) - three * sigma2)
  part /= np.float32(6) * (sigma2 - (whole + one) * (whole + one))
  return whole + part


@compiled
def _blur_rows(image, radius):
  """Blurs along the second axis; ends repeat beyond the image."""
  H, W, _ = image.shape
  whole = int(radius)
  length = np.float32(radius * np.float32(2) + np.float32(1))
  weight = np.uint32(np.float32(1 << 24) / length)
  ends = np.uint32(((1 << 24) - (whole * 2 + 1) * np.int64(weight)) // 2)
  image = image.copy()
  line = np.empty(W, np.uint8)
  for y in range(H):
    for c in range(3):
      for _ in range(_BLUR_PASSES):
        inside = np.uint32(0)
        for x in range(-whole, whole + 1):
          inside += np.uint32(image[y, min(max(x, 0), W - 1), c])
        for x in range(W):
          left = image[y, max(x - whole - 1, 0), c]
          right = image[y, min(x + whole + 1, W - 1), c]
          outer = np.uint32(left) + np.uint32(right)
          total = inside * weight + outer * ends + np.uint32(1 << 23)
          line[x] = np.uint8(total >> np.uint32(24))
          inside += np.uint32(right)
          inside -= np.uint32(image[y, max(x - whole, 0), c])
        for x in range(W):
          image[y, x, c] = line[x]
  return image
