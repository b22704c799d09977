"""How far a receptive field reaches, measured by its values."""

from typing import NamedTuple

import numpy as np

from van_jax import errors


class Extent(NamedTuple):
  """What a field spans, and where most of it lies.

  Attributes:
    top: first row with a value that is not zero.
    bottom: last one.
    left: first such column.
    right: last one.
    area: the fewest pixels whose values add up to `fraction` of all.
    fraction: of the sum of the field.
  """

  top: int
  bottom: int
  left: int
  right: int
  area: int
  fraction: float

  @property
  def height(self) -> int:
    """Returns the rows from the first to the last, both counted."""
    return self.bottom - self.top + 1

  @property
  def width(self) -> int:
    """Returns the columns from the first to the last, both counted."""
    return self.right - self.left + 1


def extent(field: np.ndarray, *, fraction: float = 0.95) -> Extent:
  """Returns the extent of a receptive field.

  Args:
    field: [H, W], not negative, as `receptive_field` gives it.
    fraction: of the sum of the field, for `area`.

  Raises:
    UserError: of a field of another kind, or zero throughout, or a fraction
      beyond (0, 1].
  """
  field = np.asarray(field)
  if field.ndim != 2 or not (field >= 0).all():  # Nor is NaN.
    raise errors.UserError(
      f"field of shape {field.shape} must be [H, W] with no value that is "
      "negative or NaN."
    )
  if not 0 < fraction <= 1:
    raise errors.UserError(f"fraction={fraction} must be above 0, at most 1.")
  rows, columns = (np.flatnonzero(field.any(axis)) for axis in (1, 0))
  if not rows.size:
    raise errors.UserError(
      "the field is zero throughout: what it is of depends on no pixel."
    )
  held = np.cumsum(np.sort(field, axis=None)[::-1])
  area = int(np.searchsorted(held, fraction * held[-1])) + 1
  return Extent(
    top=int(rows[0]),
    bottom=int(rows[-1]),
    left=int(columns[0]),
    right=int(columns[-1]),
    area=min(area, field.size),
    fraction=fraction,
  )
