"""Photometric distortion in compiled loops, bit for bit as mmsegmentation's.

Brightness and contrast map each value on its own: tables of 256 values, float32
that is clipped and cut off. Saturation and hue go through OpenCV's HSV of 8
bits (hue of 180 steps, `cv2.COLOR_RGB2HSV`), each there and back. OpenCV's own
vectors are meant: the last W mod 32 columns it turns into colours by another
formula, up to 3 levels off.
"""

import numpy as np

from van_jax.data.images.pixels.compiled import compiled

_BITS = 12
_STEPS = 180  # Of a whole turn.
_LEVELS = np.arange(1, 256)
# By the largest channel, and by the largest less the smallest.
_SATURATIONS = np.zeros(256, np.int32)
_SATURATIONS[1:] = np.rint((255 << _BITS) / _LEVELS)
_HUES = np.zeros(256, np.int32)
_HUES[1:] = np.rint((_STEPS << _BITS) / (6.0 * _LEVELS))

_ZERO, _TWO, _FOUR = np.int32(0), np.int32(2), np.int32(4)
_SHIFT, _ROUND = np.int32(_BITS), np.int32(1 << (_BITS - 1))
_TURN, _SIXTH = np.int32(_STEPS), np.float32(6 / _STEPS)
_UNIT, _FULL, _WHITE = np.float32(1 / 255), np.float32(1), np.float32(255)


@compiled
def scaled(alpha, beta):
  """Returns the table of alpha * value + beta, uint8 [256]."""
  table = np.empty(256, np.uint8)
  for i in range(256):
    value = np.float32(i) * np.float32(alpha) + np.float32(beta)
    table[i] = np.uint8(min(max(value, np.float32(0)), np.float32(255)))
  return table


@compiled
def look_up(image, table):
  """Maps all values by a table, in place."""
  values = image.reshape(-1)
  for i in range(len(values)):
    values[i] = table[values[i]]


@compiled
def saturate(image, factor):
  """Multiplies the saturation, in place; uint8 [H, W, 3]."""
  _through_hsv(image, np.float32(factor), np.int32(0))


@compiled
def turn_hue(image, steps):
  """Adds to the hue, in steps of 2 degrees, in place; uint8 [H, W, 3]."""
  _through_hsv(image, np.float32(1), np.int32(steps))


# A few short loops a row, without branches, that become vectors. Numbers keep
# to 32 bits: Python's would make them 64.
@compiled
def _through_hsv(image, factor, steps):
  H, W, _ = image.shape
  lines = np.empty((3, W), np.int32)
  for y in range(H):
    row = image[y]
    for x in range(W):
      for c in range(3):
        lines[c, x] = row[x, c]
    _to_hsv(lines[0], lines[1], lines[2])
    for x in range(W):
      s = np.float32(lines[1, x]) * factor
      lines[1, x] = np.int32(min(max(s, np.float32(0)), np.float32(255)))
      h = lines[0, x] + steps
      h += _TURN if h < _ZERO else _ZERO
      lines[0, x] = h - (_TURN if h >= _TURN else _ZERO)
    _to_rgb(lines[0], lines[1], lines[2])
    for x in range(W):
      for c in range(3):
        row[x, c] = lines[c, x]


@compiled
def _to_hsv(first, second, third):
  """Turns lines of r, g, b into h, s, v, as `cv2.COLOR_RGB2HSV` has them."""
  for x in range(len(first)):
    r, g, b = first[x], second[x], third[x]
    v = max(max(r, g), b)
    chroma = v - min(min(r, g), b)
    turn = r - g + _FOUR * chroma
    turn = b - r + _TWO * chroma if v == g else turn
    turn = g - b if v == r else turn
    h = (turn * _HUES[chroma] + _ROUND) >> _SHIFT
    first[x] = h + (_TURN if h < _ZERO else _ZERO)
    second[x] = (chroma * _SATURATIONS[v] + _ROUND) >> _SHIFT
    third[x] = v


@compiled
def _to_rgb(first, second, third):
  """Turns lines of h, s, v into r, g, b, as `cv2.COLOR_HSV2RGB` has them."""
  for x in range(len(first)):
    hue = np.float32(first[x]) * _SIXTH
    sector = np.int32(hue)
    part = hue - np.float32(sector)
    saturation = np.float32(second[x]) * _UNIT
    v = np.float32(third[x]) * _UNIT
    p = v * (_FULL - saturation)
    q = v * _one_less(saturation, part)
    t = v * _one_less(saturation, _FULL - part)
    r = v if (sector == 0) | (sector == 5) else p
    r = q if sector == 1 else r
    r = t if sector == 4 else r
    g = v if (sector == 1) | (sector == 2) else p
    g = t if sector == 0 else g
    g = q if sector == 3 else g
    b = v if (sector == 3) | (sector == 4) else p
    b = t if sector == 2 else b
    b = q if sector == 5 else b
    first[x] = np.int32(r * _WHITE)
    second[x] = np.int32(g * _WHITE)
    third[x] = np.int32(b * _WHITE)


@compiled
def _one_less(x, y):
  """Returns 1 - x y, rounded once, as OpenCV's fused multiplication does."""
  return np.float32(np.float64(1) - np.float64(x) * np.float64(y))
