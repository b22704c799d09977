"""A receptive field as heat, with its extent and its profiles."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.analysis.drawing import canvas

_DECADES = 4  # That the colours span.


def receptive_field(
  field: np.ndarray,
  box: Sequence[float],
  *,
  title: str = "",
  unit: str = "pixel",
) -> Any:
  """Returns a Figure of a receptive field.

  Left the field, divided by its largest value, on a logarithmic scale of four
  decades, or little but the centre would be seen: of a gate's input the centre
  itself counts most. A box is around all that is not zero.
  Right the largest value of each row and of each column, on a logarithmic axis.

  Args:
    field: [H, W], not negative.
    box: (top, bottom, left, right), the first and last rows and columns that
      are not zero, as `analysis.extent` begins; the rest of it is not read.
    title: above the field.
    unit: what a value is of: a pixel, or a position of a block's map.

  Raises:
    UserError: for a field or a box of another kind.
  """
  if np.ndim(field) != 2 or not np.all(np.asarray(field) >= 0) or len(box) < 4:
    raise errors.UserError(
      f"field of shape {np.shape(field)} and box={box} must be [H, W] with no "
      "value that is negative or NaN, and (top, bottom, left, right)."
    )
  figure = canvas.figure(8.2, 3.9)  # It says where matplotlib is missing.
  from matplotlib.patches import Rectangle

  top, bottom, left, right, *_ = box
  field = np.asarray(field)
  shown = field / (field.max() or 1)
  heat, profile = figure.subplots(1, 2, width_ratios=(1, 1.1))
  decades = np.log10(np.maximum(shown, 10.0**-_DECADES))
  drawn = heat.imshow(decades, cmap="inferno", vmin=-_DECADES, vmax=0)
  heat.add_patch(
    Rectangle(
      (left - 0.5, top - 0.5),
      right - left + 1,
      bottom - top + 1,
      fill=False,
      edgecolor="#4fc3f7",
      linewidth=1.5,
    )
  )
  heat.set_title(title, fontsize=9)
  size = f"{bottom - top + 1} rows x {right - left + 1} columns not zero"
  last_row, last_column = field.shape[0] - 1, field.shape[1] - 1
  if min(top, left) == 0 or bottom == last_row or right == last_column:
    size += ", cut off at the edge"
  heat.set_xlabel(size, fontsize=8)
  heat.tick_params(labelsize=7)
  ticks = range(-_DECADES, 1)
  bar = figure.colorbar(drawn, ax=heat, ticks=ticks, shrink=0.85)
  bar.ax.set_yticklabels([f"{10.0**tick:g}" for tick in ticks], fontsize=7)
  bar.set_label("of the largest", fontsize=8)
  for axis, name, colour, style in (
    (1, "rows", "#1f5fa8", "-"),
    (0, "columns", "#d1652a", "--"),  # Often they are one line.
  ):
    values = shown.max(axis)
    values = np.where(values > 0, values, np.nan)
    profile.plot(
      values, label=name, color=colour, linestyle=style, linewidth=1.5
    )
  profile.set_yscale("log")
  profile.set_xlabel(unit, fontsize=8)
  profile.set_title("largest value of each row and column", fontsize=9)
  profile.tick_params(labelsize=7)
  profile.grid(alpha=0.3)
  profile.legend(fontsize=8, frameon=False)
  return figure
