"""OpenCV's resizing in compiled loops, bit for bit: `cv2.resize` of 4 and 5.

Output i lies at (i + 0.5) * scale - 0.5 of the input for INTER_LINEAR, without
antialiasing, and takes input floor(i * scale) for INTER_NEAREST: masks lie up
to half a pixel beside their image, as where the published scores come from.
Linear weights are fixed-point numbers of 11 bits (imgproc/resize.cpp).
"""

import math

import numpy as np

from van_jax.data.images.pixels.compiled import compiled

_ONE = np.float32(1 << 11)


@compiled
def scaled(height, width, long, short):
  """Returns the (height, width) that fits into (long, short), as mmcv's."""
  factor = min(long / max(height, width), short / min(height, width))
  return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)


@compiled
def nearest(length, resized, start, count):
  """Returns the inputs that outputs from `start` on take, int32 [count].

  Args:
    length: of the input.
    resized: length of the whole output.
    start: the first output.
    count: how many.
  """
  scale = 1.0 / (resized / length)
  taken = np.empty(count, np.int32)
  for i in range(count):
    taken[i] = min(math.floor((start + i) * scale), length - 1)
  return taken


@compiled
def reach(length, resized, start, count):
  """Returns first and last input that linear outputs depend on.

  Arguments as of `nearest`.
  """
  scale = 1.0 / (resized / length)
  first, _ = _place(start, scale)
  last, _ = _place(start + count - 1, scale)
  return max(first, 0), min(last + 1, length - 1)


@compiled
def resize(image, height, width):
  """Returns the resized image, uint8 [height, width, 3].

  Args:
    image: uint8 [H, W, 3].
    height: rows to make.
    width: columns to make.
  """
  H, W, _ = image.shape
  window = (0, 0, height, width)
  return resize_window(image, (0, 0, H, W), height, width, window)


@compiled
def resize_window(part, place, height, width, window):
  """Returns a window of a resized image, from the part of it that this takes.

  Args:
    part: uint8 [h, w, 3], of an image [H, W, 3]; it must have what `reach`
      says of rows and columns.
    place: (top, left, H, W), the part's first row and column, and the image's
      size.
    height: rows of the whole resized image.
    width: columns of the whole resized image.
    window: (top, left, rows, columns) of the resized image.

  Returns:
    uint8 [rows, columns, 3].
  """
  part_top, part_left, H, W = place
  top, left, rows, columns = window
  x0, x1, a0, a1 = _weights(W, width, left, columns, True)
  y0, y1, b0, b1 = _weights(H, height, top, rows, False)
  size = 3 * columns
  # Two lines of the horizontal pass, and which input rows they are.
  upper, lower = np.empty(size, np.int32), np.empty(size, np.int32)
  upper_row, lower_row = -1, -1
  out = np.empty((rows, columns, 3), np.uint8)
  flat = out.reshape(rows, size)
  for y in range(rows):
    if upper_row != y0[y]:
      if lower_row == y0[y]:
        upper, lower = lower, upper
        upper_row, lower_row = lower_row, upper_row
      else:
        _horizontal(part[y0[y] - part_top], part_left, x0, x1, a0, a1, upper)
        upper_row = y0[y]
    if lower_row != y1[y]:
      _horizontal(part[y1[y] - part_top], part_left, x0, x1, a0, a1, lower)
      lower_row = y1[y]
    above, below = b0[y], b1[y]
    line = flat[y]
    for i in range(size):
      total = (above * (upper[i] >> 4)) >> 16
      total += (below * (lower[i] >> 4)) >> 16
      line[i] = (total + 2) >> 2
  return out


@compiled
def _horizontal(row, left, x0, x1, a0, a1, line):
  """Writes a row's horizontal pass, of 11 more bits than its pixels."""
  for x in range(len(x0)):
    first, second = x0[x] - left, x1[x] - left
    for c in range(3):
      line[3 * x + c] = row[first, c] * a0[x] + row[second, c] * a1[x]


@compiled
def _place(i, scale):
  """Returns the input before output i, and what lies between, float32."""
  at = np.float32((i + 0.5) * scale - 0.5)
  before = math.floor(at)
  return int(before), np.float32(at - np.float32(before))


@compiled
def _weights(length, resized, start, count, hold):
  """Returns two inputs of each output, and their weights; int32 [count] each.

  Args:
    length: as of `nearest`.
    resized: likewise.
    start: likewise.
    count: likewise.
    hold: whether an output beyond the outermost inputs takes one of them
      alone, as columns do; rows take it twice, which rounds otherwise.
  """
  scale = 1.0 / (resized / length)
  first, second = np.empty(count, np.int32), np.empty(count, np.int32)
  weight, other = np.empty(count, np.int32), np.empty(count, np.int32)
  for i in range(count):
    before, part = _place(start + i, scale)
    if hold and (before < 0 or before >= length - 1):
      before, part = min(max(before, 0), length - 1), np.float32(0)
    first[i], second[i] = max(before, 0), min(before + 1, length - 1)
    weight[i] = int(np.rint((np.float32(1) - part) * _ONE))
    other[i] = int(np.rint(part * _ONE))
  return first, second, weight, other
