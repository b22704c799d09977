"""Antialiased resizing as Pillow's `Image.resize` does it.

Horizontal pass, then vertical, each rounded and clipped to uint8; weights are
fixed-point numbers of 22 bits (libImaging/Resample.c). Pillow 13 may take the
vertical pass first; versions before it, and the published scores, did not.
"""

import math

import numpy as np

from van_jax.data.images.pixels.compiled import compiled

FILTERS = {"bilinear": 0, "bicubic": 1, "lanczos": 2}
_BILINEAR, _BICUBIC = FILTERS["bilinear"], FILTERS["bicubic"]

_BITS = 22
_HALF = np.int32(1 << (_BITS - 1))
_ROWS = 16  # Rows a block of the horizontal pass: 48 numbers, three vectors.


@compiled
def resize(image, height, width, filter_):
  """Returns uint8 [height, width, 3].

  Args:
    image: uint8 [H, W, 3].
    height: rows to make.
    width: columns to make.
    filter_: one of FILTERS' values.
  """
  H, W, _ = image.shape
  whole = (0, 0, H, W)
  return resize_window(
    image, whole, height, width, filter_, (0, 0, height, width)
  )


@compiled
def resize_window(part, place, height, width, filter_, window):
  """Returns a window of a resized image, from the part of it that this takes.

  Args:
    part: uint8 [h, w, 3], of an image [H, W, 3]; it must have all pixels that
      the window depends on.
    place: (top, left, H, W), the part's first row and column, and the image's
      size.
    height: rows of the whole resized image.
    width: columns of the whole resized image.
    filter_: one of FILTERS' values.
    window: (top, left, rows, columns) of the resized image.

  Returns:
    uint8 [rows, columns, 3].
  """
  part_top, part_left, H, W = place
  top, left, window_height, window_width = window
  columns = _weights(W, width, filter_, left, window_width)
  columns[0][:] -= part_left
  rows = _weights(H, height, filter_, top, window_height)
  first = rows[0][0]
  last = rows[0][-1] + rows[1][-1]
  rows[0][:] -= first
  # The horizontal pass makes what the vertical one reads, and no more.
  middle = _horizontal_pass(part[first - part_top : last - part_top], columns)
  return _vertical_pass(middle, rows)


@compiled
def _weights(length, resized, filter_, start, count):
  """Returns what each of `count` outputs from `start` on reads.

  Returns:
    first input [count], number of inputs [count], and their weights
    [count, most inputs] in fixed point; int32.
  """
  scale = length / resized
  stretch = max(scale, 1.0)
  support = _support(filter_) * stretch
  most = math.ceil(support) * 2 + 1
  first = np.empty(count, np.int32)
  number = np.empty(count, np.int32)
  fixed = np.zeros((count, most), np.int32)
  weights = np.empty(most)
  for i in range(count):
    centre = (start + i + 0.5) * scale
    low = max(int(centre - support + 0.5), 0)
    high = min(int(centre + support + 0.5), length)
    total = 0.0
    for j in range(high - low):
      weights[j] = _filter((low + j - centre + 0.5) / stretch, filter_)
      total += weights[j]
    for j in range(high - low):
      scaled = weights[j] / total * (1 << _BITS)
      fixed[i, j] = int(scaled - 0.5) if scaled < 0 else int(scaled + 0.5)
    first[i], number[i] = low, high - low
  return first, number, fixed


@compiled
def _support(filter_):
  if filter_ == _BILINEAR:
    return 1.0
  return 2.0 if filter_ == _BICUBIC else 3.0


@compiled
def _filter(x, filter_):
  x = abs(x)
  if filter_ == _BILINEAR:
    return 1.0 - x if x < 1 else 0.0
  if filter_ == _BICUBIC:
    if x < 1:
      return ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * -0.5 if x < 2 else 0.0
  return _sinc(x) * _sinc(x / 3) if x < 3 else 0.0


@compiled
def _sinc(x):
  if x == 0:
    return 1.0
  x = x * math.pi
  return math.sin(x) / x


@compiled
def _horizontal_pass(image, columns):
  """Returns uint8 [H, number of columns, 3].

  A block of rows is turned on its side, so that vectors run along rows and
  channels, which all have the same weights.
  """
  first, number, weights = columns
  H, W, _ = image.shape
  count = len(first)
  out = np.empty((H, count, 3), np.uint8)
  block = np.zeros((W, 3 * _ROWS), np.int32)
  total = np.empty(3 * _ROWS, np.int32)
  for top in range(0, H, _ROWS):
    rows = min(_ROWS, H - top)
    for r in range(rows):
      for x in range(W):
        for c in range(3):
          block[x, 3 * r + c] = image[top + r, x, c]
    for x in range(count):
      for i in range(3 * _ROWS):
        total[i] = _HALF
      for j in range(number[x]):
        weight = weights[x, j]
        taken = block[first[x] + j]
        for i in range(3 * _ROWS):
          total[i] += taken[i] * weight
      for i in range(3 * _ROWS):
        total[i] = min(max(total[i] >> _BITS, 0), 255)
      for r in range(rows):
        for c in range(3):
          out[top + r, x, c] = total[3 * r + c]
  return out


@compiled
def _vertical_pass(image, rows):
  """Returns uint8 [number of rows, W, 3]."""
  first, number, weights = rows
  H, W, _ = image.shape
  count = len(first)
  out = np.empty((count, W, 3), np.uint8)
  flat_in, flat_out = image.reshape(H, 3 * W), out.reshape(count, 3 * W)
  total = np.empty(3 * W, np.int32)
  for y in range(count):
    for i in range(3 * W):
      total[i] = _HALF
    for j in range(number[y]):
      weight = weights[y, j]
      taken = flat_in[first[y] + j]
      for i in range(3 * W):
        total[i] += np.int32(taken[i]) * weight
    for i in range(3 * W):
      flat_out[y, i] = min(max(total[i] >> _BITS, 0), 255)
  return out
