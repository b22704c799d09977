"""From the decoded part of an image and random numbers to its training crop.

Photometric distortion is mmsegmentation's PhotoMetricDistortion. Importing this
needs Numba.
"""

from typing import NamedTuple

import numpy as np

from van_jax.data.augment.dense_crop import Crop
from van_jax.data.augment.dense_options import DenseAugmentation
from van_jax.data.images.pixels import compiled, opencv, photometric

DRAWS = 9  # Uniforms that a distortion takes.


class Distortion(NamedTuple):
  """What is done to an image's colours, in this order; None for nothing.

  Attributes:
    brightness: what is added.
    contrast_first: factor.
    saturation: factor.
    hue: steps of 2 degrees.
    contrast_last: factor; at most one of the two contrasts is there.
  """

  brightness: float | None = None
  contrast_first: float | None = None
  saturation: float | None = None
  hue: int | None = None
  contrast_last: float | None = None


def draw_distortion(uniforms: np.ndarray, how: DenseAugmentation) -> Distortion:
  """Draws a distortion from float32 [DRAWS], uniform in [0, 1)."""
  drawn = [float(u) for u in uniforms]
  coins, values, order = drawn[:4], drawn[4:8], drawn[8]
  delta = how.brightness_delta
  made = (
    _between(-delta, delta, values[0]),
    _between(*how.contrast_range, values[1]),
    _between(*how.saturation_range, values[2]),
    int(values[3] * 2 * how.hue_delta) - how.hue_delta,
  )
  brightness, contrast, saturation, hue = (
    value if coin < how.distortion_probability else None
    for coin, value in zip(coins, made, strict=True)
  )
  return Distortion(
    brightness=brightness,
    contrast_first=contrast if order < 0.5 else None,
    saturation=saturation,
    hue=None if hue is None else int(hue),
    contrast_last=None if order < 0.5 else contrast,
  )


def render(
  part: np.ndarray,
  corner: tuple[int, int],
  crop: Crop,
  distortion: Distortion,
  how: DenseAugmentation,
) -> np.ndarray:
  """Returns the image of a crop, uint8 [S, S, 3].

  Args:
    part: uint8 [h, w, 3], the image's `dense_crop.source_box`.
    corner: its first row and column.
    crop: from `dense_crop.draw`.
    distortion: of its colours; what is padded keeps its own.
    how: the options.
  """
  image = opencv.resize_window(
    part, (*corner, *crop.size), *crop.resized, crop.window
  )
  distort(image, distortion)
  fill = np.array(how.fill_color, np.uint8)
  return _placed(image, how.image_size, crop.flipped, fill)


def distort(image: np.ndarray, how: Distortion) -> None:
  """Changes the colours of an image, uint8 [H, W, 3], in place."""
  # Brightness and contrast that meet are one pass.
  before = np.arange(256, dtype=np.uint8)
  if how.brightness is not None:
    before = photometric.scaled(1.0, how.brightness)[before]
  if how.contrast_first is not None:
    before = photometric.scaled(how.contrast_first, 0.0)[before]
  if how.brightness is not None or how.contrast_first is not None:
    photometric.look_up(image, before)
  if how.saturation is not None:
    photometric.saturate(image, how.saturation)
  if how.hue is not None:
    photometric.turn_hue(image, how.hue)
  if how.contrast_last is not None:
    photometric.look_up(image, photometric.scaled(how.contrast_last, 0.0))


def _between(low: float, high: float, uniform: float) -> float:
  return low + uniform * (high - low)


@compiled
def _placed(image, size, flipped, fill):
  """Returns the image, flipped, at the top left of a square."""
  H, W, _ = image.shape
  out = np.empty((size, size, 3), np.uint8)
  for y in range(size):
    for x in range(W if y < H else 0):
      at = W - 1 - x if flipped else x
      for c in range(3):
        out[y, at, c] = image[y, x, c]
    for x in range(W if y < H else 0, size):
      for c in range(3):
        out[y, x, c] = fill[c]
  return out
