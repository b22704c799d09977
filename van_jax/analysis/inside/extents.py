"""How far a receptive field reaches: by its values, and by the sizes."""

from typing import Any, NamedTuple

import numpy as np

from van_jax import errors, models
from van_jax.models.attention import lka, table

_FEED_FORWARD = 3  # Taps of its depthwise convolution.


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
    UserError: of a field that is zero throughout, or a fraction beyond (0, 1].
  """
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


def attention_extent(attention: Any) -> int:
  """Returns the pixels each way that one attention sees of its own input.

  LKA: (2d - 1) + (ceil(K / d) - 1) d, which is 23 for K = 21 and d = 3. LSKA:
  the same with floor(K / d). Its row and its column follow one another, so the
  field is a full square like LKA's and no cross, but each channel's kernel is
  one column times one row. MSCA: 5 + max(k) - 1, a square too.

  Args:
    attention: as a model's `attention` field: a name, or a mapping with fields.

  Raises:
    UserError: for a stranger's attention, whose reach only its gradient tells.
  """
  fields: dict[str, Any] = dict(table.described(attention))
  name = fields.pop("name")
  if name == "msca":
    return 5 + max(fields["kernel_sizes"]) - 1
  if name not in ("lka", "lska"):
    raise errors.UserError(
      f"attention {table.label(table.module_class(name))} is none of "
      f"{', '.join(table.ATTENTIONS)}, and has no known rule; measure it with "
      "receptive_field."
    )
  size, dilation = fields["kernel_size"], fields["dilation"]
  convs = fields.get("convs", lka.CONVS)
  if convs == lka.DENSE:
    return size
  far = size // dilation if name == "lska" else -(-size // dilation)
  near_reach = 2 * dilation - 2 if "depthwise" in convs else 0
  far_reach = (far - 1) * dilation if "dilated" in convs else 0
  return 1 + near_reach + far_reach


def stage_extent(van: models.VAN, stage: int) -> int:
  """Returns the pixels of the image each way that a stage's position sees.

  Backwards from one position: a block adds its attention's reach and that of
  the feed-forward's 3x3 convolution, and an embedding of k taps and stride s
  makes (n - 1) s + k of n. B0's is 4,383 pixels at stage 4; what an image does
  not have of them is zeros.

  Args:
    van: whose attention is van_jax's own.
    stage: 1 to 4.
  """
  reach = attention_extent(van.attention) - 1 + _FEED_FORWARD - 1
  size = 1
  for s in range(stage, 0, -1):
    taps, stride = (7, 4) if s == 1 else (3, 2)
    size = (size + reach * van.depths[s - 1] - 1) * stride + taps
  return size
