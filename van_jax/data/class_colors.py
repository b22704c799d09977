"""The colours of classes, in pictures of masks."""

from collections.abc import Sequence
from typing import Any

from van_jax import errors
from van_jax.data import arguments

Colors = tuple[tuple[int, int, int], ...]  # One a class, (r, g, b) of bytes.


def default(num_classes: int) -> Colors:
  """Returns PASCAL VOC's colours of classes 0 to K - 1, K up to 256.

  The bits of a class's number, from the lowest on, are dealt out to red, green
  and blue by turns, and are those colours' bits from the highest on: no two
  classes are alike, and neighbours are far from each other.

  >>> default(4)
  ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
  """
  return tuple(_color(number) for number in range(num_classes))


def checked(colors: Sequence[Sequence[int]], num_classes: int) -> Colors:
  """Returns the colours of a data set's option; () where it has none.

  Args:
    colors: (r, g, b) of 0 to 255, one a class; () for none.
    num_classes: K.

  Raises:
    UserError: for other values, or not K of them.
  """
  count = len(colors) if isinstance(colors, Sequence) else "none"
  if count not in (0, num_classes):
    raise errors.UserError(
      f"data.options.class_colors has {count} and must have one for each of "
      f"the {num_classes} classes, void not among them; leave it out for none."
    )
  for number, color in enumerate(colors):
    arguments.check_color(_tuple(color), f"data.options.class_colors[{number}]")
  return tuple((int(r), int(g), int(b)) for r, g, b in colors)


def _tuple(color: Any) -> tuple[Any, ...]:
  """Returns a colour as a tuple, of one entry where it is no sequence."""
  return tuple(color) if isinstance(color, Sequence) else (color,)


def _color(number: int) -> tuple[int, int, int]:
  r, g, b = (
    sum((number >> 3 * bit + channel & 1) << 7 - bit for bit in range(3))
    for channel in range(3)
  )
  return r, g, b
