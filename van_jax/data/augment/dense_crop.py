"""Where a training crop of an image and its mask lies, and the mask's part.

Drawn as mmsegmentation's Resize (`ratio_range`) and RandomCrop
(`cat_max_ratio`) do, of uniforms. Importing this needs Numba.
"""

from typing import NamedTuple

import numpy as np

from van_jax.data.augment.dense_options import DenseAugmentation
from van_jax.data.images.pixels import compiled, opencv
from van_jax.data.mask_numbering import VOID

_BEFORE = 2  # Uniforms: the ratio, and the flip.


class Crop(NamedTuple):
  """A crop of a resized pair, in whole pixels.

  Attributes:
    size: the pair's own (height, width).
    resized: its (height, width) before the crop.
    window: (top, left, rows, columns) of the resized one.
    flipped: 0 or 1.
  """

  size: tuple[int, int]
  resized: tuple[int, int]
  window: tuple[int, int, int, int]
  flipped: int


def draws(how: DenseAugmentation) -> int:
  """Returns how many uniforms a crop takes."""
  return _BEFORE + 2 * (how.crop_attempts + 1)


def draw(
  mask: np.ndarray,
  table: np.ndarray,
  uniforms: np.ndarray,
  how: DenseAugmentation,
) -> tuple[Crop, np.ndarray]:
  """Returns the crop of a pair, and its label, uint8 [S, S].

  Args:
    mask: uint8 [H, W], as it is written.
    table: int16 [256], what its numbers are in a batch; all that it has.
    uniforms: float32 [draws(how)], in [0, 1).
    how: the options.
  """
  crop, label = _draw(mask, table, uniforms, *_plain(how))
  return Crop(crop[:2], crop[2:4], crop[4:8], crop[8]), label


def source_box(crop: Crop) -> tuple[int, int, int, int]:
  """Returns the part of the image that a crop is made of.

  Returns:
    (top, left, height, width).
  """
  top, bottom = _reach(crop, 0)
  left, right = _reach(crop, 1)
  return top, left, bottom + 1 - top, right + 1 - left


def _reach(crop: Crop, axis: int) -> tuple[int, int]:
  return opencv.reach(
    crop.size[axis],
    crop.resized[axis],
    crop.window[axis],
    crop.window[2 + axis],
  )


def _plain(how: DenseAugmentation) -> tuple:
  """Returns the options that the compiled function takes, in its order."""
  return (
    how.image_size,
    how.scale,
    tuple(map(float, how.scale_ratio)),
    float(how.max_class_share),
    how.crop_attempts,
    float(how.flip_probability),
  )


@compiled
def count(mask):
  """Returns how often each number comes in a mask, int64 [256]."""
  counts = np.zeros(256, np.int64)
  H, W = mask.shape
  for y in range(H):
    for x in range(W):
      counts[mask[y, x]] += 1
  return counts


@compiled
def _draw(mask, table, uniforms, size, scale, ratio, share, attempts, flip):
  H, W = mask.shape
  factor = ratio[0] + uniforms[0] * (ratio[1] - ratio[0])
  long, short = int(scale[0] * factor), int(scale[1] * factor)
  height, width = opencv.scaled(H, W, long, short)
  rows, columns = min(size, height), min(size, width)
  y = opencv.nearest(H, height, 0, height)
  x = opencv.nearest(W, width, 0, width)
  top, left = 0, 0
  for i in range(attempts + 1):
    corner = uniforms[_BEFORE + 2 * i : _BEFORE + 2 * i + 2]
    top = int(corner[0] * (height - rows + 1))
    left = int(corner[1] * (width - columns + 1))
    # The last one is taken, whatever it shows.
    if share >= 1 or i == attempts:
      break
    taken = (y[top : top + rows], x[left : left + columns])
    if _is_mixed(mask, table, taken, share):
      break
  flipped = 1 if uniforms[1] < flip else 0
  label = np.full((size, size), VOID, np.uint8)
  for i in range(rows):
    row = mask[y[top + i]]
    for j in range(columns):
      at = columns - 1 - j if flipped else j
      label[i, at] = table[row[x[left + j]]]
  return (H, W, height, width, top, left, rows, columns, flipped), label


@compiled
def _is_mixed(mask, table, taken, share):
  """Returns whether there are two classes, none of so large a share."""
  counts = np.zeros(256, np.int64)
  rows, columns = taken
  for y in rows:
    row = mask[y]
    for x in columns:
      counts[row[x]] += 1
  most, total, classes = 0, 0, 0
  for number in range(256):
    if counts[number] and table[number] != VOID:
      most = max(most, counts[number])
      total += counts[number]
      classes += 1
  return classes > 1 and most / total < share
