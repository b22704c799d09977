"""Affine maps of an image, as Pillow's `Image.transform` does them.

Interpolation is in float64, bilinear or bicubic over the nearest 2x2 or 4x4
pixels without antialiasing (libImaging/Geometry.c; its bicubic kernel has
a = -1, that of resizing a = -0.5). What comes from outside of the image is
`fill`. Where a map moves pixels along one axis alone, the other axis
interpolates by exactly 0, and is left out.
"""

import math

import numpy as np

from van_jax.data.images.pixels.compiled import compiled


@compiled
def rotate(image, degrees, bicubic, fill):
  """Turns an image counter-clockwise about its centre; as `Image.rotate`."""
  H, W, _ = image.shape
  angle = -math.radians(degrees % 360.0)
  cos, sin = _round15(math.cos(angle)), _round15(math.sin(angle))
  x, y = W / 2.0, H / 2.0
  shift_x = (cos * -x + sin * -y + 0.0) + x
  shift_y = (-sin * -x + cos * -y + 0.0) + y
  return affine(image, (cos, sin, shift_x, -sin, cos, shift_y), bicubic, fill)


@compiled
def _round15(x):
  """Rounds to 15 decimals, as `Image.rotate` does: 0 for the sine of pi."""
  return np.rint(x * 1e15) / 1e15


@compiled
def shear_x(image, columns, bicubic, fill):
  """Moves each row by `columns` more than the row above it, to the left."""
  matrix = (1.0, columns, 0.0, 0.0, 1.0, 0.0)
  return affine(image, matrix, bicubic, fill)


@compiled
def shear_y(image, rows, bicubic, fill):
  """Moves each column by `rows` more than the one left of it, upwards."""
  matrix = (1.0, 0.0, 0.0, rows, 1.0, 0.0)
  return affine(image, matrix, bicubic, fill)


@compiled
def translate_x(image, part, bicubic, fill):
  """Moves an image to the left by a part of its width."""
  matrix = (1.0, 0.0, part * image.shape[1], 0.0, 1.0, 0.0)
  return affine(image, matrix, bicubic, fill)


@compiled
def translate_y(image, part, bicubic, fill):
  """Moves an image upwards by a part of its height."""
  matrix = (1.0, 0.0, 0.0, 0.0, 1.0, part * image.shape[0])
  return affine(image, matrix, bicubic, fill)


@compiled
def affine(image, matrix, bicubic, fill):
  """Returns the image whose pixel (x, y) comes from matrix @ (x, y, 1).

  Args:
    image: uint8 [H, W, 3].
    matrix: (a, b, c, d, e, f): (a x + b y + c, d x + e y + f) is the place
      that (x, y) takes its value from; pixel centres are at halves.
    bicubic: bool; else bilinear.
    fill: uint8 [3], of places outside of the image.
  """
  H, W, _ = image.shape
  a, b, c, d, e, f = matrix
  along_x = d == 0 and e == 1 and f == 0
  along_y = a == 1 and b == 0 and c == 0
  out = np.empty_like(image)
  for row in range(H):
    for column in range(W):
      x = a * (column + 0.5) + b * (row + 0.5) + c
      y = d * (column + 0.5) + e * (row + 0.5) + f
      if not (0 <= x < W and 0 <= y < H):
        for channel in range(3):
          out[row, column, channel] = fill[channel]
        continue
      x, y = x - 0.5, y - 0.5
      left, top = math.floor(x), math.floor(y)
      left, top, dx, dy = int(left), int(top), x - left, y - top
      if not bicubic:
        _linear(image, left, top, dx, dy, out, row, column)
      elif along_x:
        _cubic_x(image, left, dx, out, row, column)
      elif along_y:
        _cubic_y(image, top, dy, out, row, column)
      else:
        _cubic(image, left, top, dx, dy, out, row, column)
  return out


# Scalars, and no slices of arrays: a slice counts references, atomically.
@compiled
def _linear(image, left, top, dx, dy, out, row, column):
  x0, x1 = _pair(left, image.shape[1])
  y0, y1 = _pair(top, image.shape[0])
  for c in range(3):
    v00, v01 = float(image[y0, x0, c]), float(image[y0, x1, c])
    v10, v11 = float(image[y1, x0, c]), float(image[y1, x1, c])
    v0 = v00 + (v01 - v00) * dx
    v1 = v10 + (v11 - v10) * dx
    out[row, column, c] = np.uint8(v0 + (v1 - v0) * dy)


@compiled
def _cubic_x(image, left, dx, out, row, column):
  x = _four(left, image.shape[1])
  for c in range(3):
    out[row, column, c] = _to_uint8(_along_row(image, row, x, c, dx))


@compiled
def _cubic_y(image, top, dy, out, row, column):
  y0, y1, y2, y3 = _four(top, image.shape[0])
  for c in range(3):
    value = _polynomial(
      float(image[y0, column, c]),
      float(image[y1, column, c]),
      float(image[y2, column, c]),
      float(image[y3, column, c]),
      dy,
    )
    out[row, column, c] = _to_uint8(value)


@compiled
def _cubic(image, left, top, dx, dy, out, row, column):
  x = _four(left, image.shape[1])
  y0, y1, y2, y3 = _four(top, image.shape[0])
  for c in range(3):
    value = _polynomial(
      _along_row(image, y0, x, c, dx),
      _along_row(image, y1, x, c, dx),
      _along_row(image, y2, x, c, dx),
      _along_row(image, y3, x, c, dx),
      dy,
    )
    out[row, column, c] = _to_uint8(value)


@compiled
def _along_row(image, y, x, c, dx):
  x0, x1, x2, x3 = x
  return _polynomial(
    float(image[y, x0, c]),
    float(image[y, x1, c]),
    float(image[y, x2, c]),
    float(image[y, x3, c]),
    dx,
  )


@compiled
def _polynomial(v0, v1, v2, v3, d):
  p1 = -v0 + v2
  p2 = 2 * (v0 - v1) + v2 - v3
  p3 = -v0 + v1 - v2 + v3
  return v1 + d * (p1 + d * (p2 + d * p3))


@compiled
def _pair(i, length):
  """Returns i and i + 1, held inside of the image."""
  return max(i, 0), min(i + 1, length - 1)


@compiled
def _four(i, length):
  """Returns i - 1 to i + 2, held inside of the image."""
  last = length - 1
  return max(i - 1, 0), max(i, 0), min(i + 1, last), min(i + 2, last)


@compiled
def _to_uint8(x):
  return np.uint8(min(max(x, 0.0), 255.0))
