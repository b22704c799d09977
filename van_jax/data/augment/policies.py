"""Which colour and geometric operations an image gets, drawn from uniforms.

RandAugment and its magnitudes are those of timm 0.4.12, rand-mM-mstdS-inc1;
ThreeAugment is that of DeiT III; colour jitter is torchvision's without hue.
Like the loops that carry them out, the draws are compiled (`pixels.program`).
Importing this needs Numba.
"""

import math

import numpy as np

from van_jax.data.images.pixels.compiled import compiled
from van_jax.data.images.pixels.program import Step

DRAWS = 6  # Uniforms that one operation takes.

RANDAUGMENT_STEPS = np.array(
  [
    Step.AUTO_CONTRAST,
    Step.EQUALIZE,
    Step.INVERT,
    Step.ROTATE,
    Step.POSTERIZE,
    Step.SOLARIZE,
    Step.SOLARIZE_ADD,
    Step.COLOR,
    Step.CONTRAST,
    Step.BRIGHTNESS,
    Step.SHARPNESS,
    Step.SHEAR_X,
    Step.SHEAR_Y,
    Step.TRANSLATE_X,
    Step.TRANSLATE_Y,
  ]
)
_MOST = 10.0  # The scale of magnitudes.
_TURN = 30.0  # Degrees at magnitude 10, as are the next.
_SHEAR = 0.3
_SHIFT = 0.45  # Of the width or height.
_ENHANCE = 0.9
_ADDEND = 110

_THREE_STEPS = np.array(
  [Step.GRAYSCALE, Step.SOLARIZE, Step.GAUSSIAN_BLUR], np.int64
)
_JITTER_STEPS = np.array([Step.BRIGHTNESS, Step.CONTRAST, Step.COLOR], np.int64)
_ORDERS = np.array(
  [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
)


@compiled
def randaugment(draws, magnitude, std, probability):
  """Draws operations with replacement, each applied with `probability`.

  Args:
    draws: float [N, DRAWS], uniform in [0, 1), for N operations.
    magnitude: mean of the magnitude, 0 to 10.
    std: of the magnitude, which is clipped to [0, 10].
    probability: that an operation is applied.

  Returns:
    steps int64 [N], arguments float64 [N].
  """
  count = len(draws)
  steps = np.zeros(count, np.int64)
  arguments = np.zeros(count)
  for i in range(count):
    choice, applied, radius, angle, sign, _ = draws[i]
    if applied >= probability:
      continue
    steps[i] = RANDAUGMENT_STEPS[int(choice * len(RANDAUGMENT_STEPS))]
    level = magnitude + std * _normal(radius, angle)
    level = min(max(level, 0.0), _MOST)
    arguments[i] = argument(steps[i], level, 1.0 if sign < 0.5 else -1.0)
  return steps, arguments


@compiled
def argument(step, level, sign):
  """Returns what a step of RandAugment does at a magnitude.

  Increasing, as inc1 says: a higher magnitude is farther from the image.

  Args:
    step: one of RANDAUGMENT_STEPS.
    level: the magnitude, 0 to 10.
    sign: 1 or -1.
  """
  part = level / _MOST
  if step == Step.ROTATE:
    return sign * part * _TURN
  if step == Step.POSTERIZE:
    return 4.0 - int(part * 4)
  if step == Step.SOLARIZE:
    return 256.0 - int(part * 256)
  if step == Step.SOLARIZE_ADD:
    return float(int(part * _ADDEND))
  if Step.COLOR <= step <= Step.SHARPNESS:
    return 1.0 + sign * part * _ENHANCE
  if step == Step.SHEAR_X or step == Step.SHEAR_Y:
    return sign * part * _SHEAR
  if step == Step.TRANSLATE_X or step == Step.TRANSLATE_Y:
    return sign * part * _SHIFT
  return 0.0


@compiled
def three_augment(draws):
  """Draws one of grey, solarization from 128 on, and blur of 0.1 to 2 pixels.

  Args:
    draws: float [1, DRAWS], uniform in [0, 1).

  Returns:
    steps int64 [1], arguments float64 [1].
  """
  step = _THREE_STEPS[int(draws[0, 0] * 3)]
  value = 0.0
  if step == Step.SOLARIZE:
    value = 128.0
  elif step == Step.GAUSSIAN_BLUR:
    value = 0.1 + 1.9 * draws[0, 1]
  return np.full(1, step), np.full(1, value)


@compiled
def color_jitter(draws, strength):
  """Draws brightness, contrast and saturation, in a random order.

  Args:
    draws: float [3, DRAWS], uniform in [0, 1).
    strength: factors are uniform from 1 - strength, or 0, to 1 + strength.

  Returns:
    steps int64 [3], arguments float64 [3].
  """
  order = _ORDERS[int(draws[0, 0] * len(_ORDERS))]
  low = max(0.0, 1 - strength)
  factors = np.empty(3)
  for i in range(3):
    factors[i] = low + (1 + strength - low) * draws[i, 1]
  return _JITTER_STEPS[order], factors


@compiled
def _normal(radius, angle):
  """Returns a standard normal of two uniforms (Box and Muller)."""
  return math.sqrt(-2 * math.log(1 - radius)) * math.cos(2 * math.pi * angle)
