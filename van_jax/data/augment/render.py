"""From decoded pixels and random numbers to one training image.

Importing this needs Numba.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from van_jax.data.augment import policies, program
from van_jax.data.augment.options import Augmentation
from van_jax.data.images import pixels
from van_jax.data.images.pixels import compiled

_OWN_DRAWS = 4  # Interpolation, flip, and the place of a padded crop.
_BILINEAR, _BICUBIC = pixels.FILTERS["bilinear"], pixels.FILTERS["bicubic"]


def draws(how: Augmentation) -> int:
  """Returns how many uniforms an image takes."""
  return _OWN_DRAWS + policies.DRAWS * max(how.randaugment_ops, 4)


@functools.cache  # Compiling takes seconds.
def compile_renderer(
  how: Augmentation,
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
  """Returns the function from (decoded, draws) to the image.

  It takes uint8 [H, W, 3], the crop, and float32 [draws(how)], uniform in
  [0, 1), and returns uint8 [image_size, image_size, 3]: resized, padded and
  cropped back, flipped, then changed by the policy. Compiled at its first
  call, for these options.
  """
  size, flip = how.image_size, how.flip_probability
  pad = how.pad_pixels if how.crop == "pad" else 0
  reflect = how.pad_mode == "reflect"
  random_filter = how.interpolation == "random"
  fixed_filter = pixels.FILTERS.get(how.interpolation, _BILINEAR)
  change = _changer(how)

  @compiled
  def render(image, draws):
    filter_ = fixed_filter
    if random_filter:
      filter_ = _BICUBIC if draws[0] < 0.5 else _BILINEAR
    image = pixels.resize(image, size, size, filter_)
    if pad:
      image = _pad_and_crop(image, pad, reflect, draws[2:4])
    if draws[1] < flip:
      image = image[:, ::-1].copy()
    return change(image, draws[_OWN_DRAWS:].reshape((-1, policies.DRAWS)))

  return render


def _changer(how: Augmentation) -> Callable[..., Any]:
  """Returns the compiled (image, draws) -> image of all policies."""
  fill = np.array(how.fill_color, np.uint8)
  bicubic_chance = {"random": 0.5, "bilinear": 0.0}.get(how.interpolation, 1.0)

  @compiled
  def nothing(image, draws):
    return image

  def followed(change, policy):
    rows, draw = policy.rows, policy.draw
    start, stop = rows.start or 0, rows.stop
    run = program.runner(policy.operations)

    @compiled
    def changed(image, draws):
      own = draws[start:stop]
      numbers, arguments = draw(own)
      bicubic = own[:, -1] < bicubic_chance
      return run(change(image, draws), numbers, arguments, bicubic, fill)

    return changed

  return functools.reduce(followed, policies.policies(how), nothing)


@compiled
def _pad_and_crop(image, pad, reflect, place):
  """Pads all sides and takes a part of the old size, at a random place."""
  H, W, _ = image.shape
  top = int(place[0] * (2 * pad + 1)) - pad
  left = int(place[1] * (2 * pad + 1)) - pad
  out = np.zeros_like(image)
  for y in range(H):
    for x in range(W):
      row, column = y + top, x + left
      if reflect:  # The border itself is not repeated.
        row, column = abs(row), abs(column)
        row = min(row, 2 * (H - 1) - row)
        column = min(column, 2 * (W - 1) - column)
      if 0 <= row < H and 0 <= column < W:
        for c in range(3):
          out[y, x, c] = image[row, column, c]
  return out
