"""Which operations an image gets, and how strongly, drawn from uniforms.

RandAugment and its magnitudes are those of timm 0.4.12, rand-mM-mstdS-inc1;
ThreeAugment is that of DeiT III; colour jitter is torchvision's without hue.
Like the loops that carry them out, the draws are compiled. Importing this needs
Numba.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from van_jax.data.augment import operations, program
from van_jax.data.augment.operations import Operation
from van_jax.data.augment.options import Augmentation
from van_jax.data.images.pixels import compiled

DRAWS = 6  # Uniforms that one operation takes.

RANDAUGMENT = (  # In timm's order.
  "auto_contrast",
  "equalize",
  "invert",
  "rotate",
  "posterize",
  "solarize",
  "solarize_add",
  "color",
  "contrast",
  "brightness",
  "sharpness",
  "shear_x",
  "shear_y",
  "translate_x",
  "translate_y",
)
# From this argument on, up to so much more.
THREE_AUGMENT = {
  "grayscale": (0.0, 0.0),
  "solarize": (128.0, 0.0),
  "gaussian_blur": (0.1, 1.9),  # Standard deviation, pixels.
}
COLOR_JITTER = ("brightness", "contrast", "color")

_MOST = 10.0  # The scale of magnitudes.
_ORDERS = np.array(
  [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
)


@dataclasses.dataclass(frozen=True)
class Policy:
  """What may be done to an image, and the draw of what is.

  Attributes:
    operations: what is drawn from.
    rows: which rows of an image's uniforms the draw takes.
    draw: compiled; from float [N, DRAWS], uniform in [0, 1), to numbers of
      operations (or `program.NOTHING`), int64 [N], and arguments, float64 [N].
  """

  operations: tuple[Operation, ...]
  rows: slice
  draw: Callable[..., Any]


def policies(how: Augmentation) -> tuple[Policy, ...]:
  """Returns the policies that an image goes through, in their order."""
  chosen = POLICIES[how.policy]
  # Jitter is off beside RandAugment, as timm has it.
  jittered = how.color_jitter and how.policy != "randaugment"
  return (
    *([chosen(how)] if chosen else []),
    *([color_jitter(how)] if jittered else []),
  )


def randaugment(how: Augmentation) -> Policy:
  """Draws operations with replacement, each applied with a probability."""
  chosen = operations.choose(how.operations or RANDAUGMENT)
  start = np.array([o.start for o in chosen], np.float64)
  span = np.array([o.span for o in chosen], np.float64)
  whole = np.array([o.whole for o in chosen], bool)
  mirrored = np.array([o.mirrored for o in chosen], bool)
  mean, std = how.randaugment_magnitude, how.randaugment_std
  probability = how.randaugment_probability

  @compiled
  def argument(number, level, sign):
    part = level / _MOST
    added = (sign * part if mirrored[number] else part) * span[number]
    return start[number] + (int(added) if whole[number] else added)

  @compiled
  def draw(draws):
    count = len(draws)
    numbers = np.full(count, program.NOTHING, np.int64)
    arguments = np.zeros(count)
    for i in range(count):
      choice, applied, radius, angle, sign, _ = draws[i]
      if applied >= probability:
        continue
      numbers[i] = int(choice * len(start))
      level = min(max(mean + std * _normal(radius, angle), 0.0), _MOST)
      arguments[i] = argument(numbers[i], level, 1.0 if sign < 0.5 else -1.0)
    return numbers, arguments

  return Policy(chosen, slice(how.randaugment_ops), draw)


def three_augment(how: Augmentation) -> Policy:
  """Draws one of grey, solarization from 128 on, and blur of 0.1 to 2."""
  del how
  start, span = np.array(list(THREE_AUGMENT.values())).T.copy()

  @compiled
  def draw(draws):
    number = int(draws[0, 0] * len(start))
    value = start[number] + span[number] * draws[0, 1]
    return np.full(1, number), np.full(1, value)

  return Policy(operations.choose(list(THREE_AUGMENT)), slice(1), draw)


def color_jitter(how: Augmentation) -> Policy:
  """Draws brightness, contrast and saturation, in a random order.

  Factors are uniform from 1 - strength, or 0, to 1 + strength.
  """
  strength = how.color_jitter
  low = max(0.0, 1 - strength)

  @compiled
  def draw(draws):
    order = _ORDERS[int(draws[0, 0] * len(_ORDERS))]
    factors = np.empty(3)
    for i in range(3):
      factors[i] = low + (1 + strength - low) * draws[i, 1]
    return order, factors

  return Policy(operations.choose(COLOR_JITTER), slice(1, 4), draw)


POLICIES = {
  "none": None,
  "randaugment": randaugment,
  "three_augment": three_augment,
}


@compiled
def _normal(radius, angle):
  """Returns a standard normal of two uniforms (Box and Muller)."""
  return math.sqrt(-2 * math.log(1 - radius)) * math.cos(2 * math.pi * angle)
