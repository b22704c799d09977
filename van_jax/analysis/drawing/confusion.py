"""A confusion matrix as a picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.analysis.drawing import canvas

_MOST_NUMBERS = 15  # Classes whose counts are written into the cells.
_MOST_NAMES = 50


def confusion_matrix(
  matrix: np.ndarray, names: Sequence[str] | None = None
) -> Any:
  """Returns a Figure of a confusion matrix, true classes down.

  A cell's colour is its part of its row, that is of all images of the class;
  its number, of few classes, is how many they are. Of many the colours follow
  the root of the part, or a class that takes 2 % of another's images, which is
  much among a thousand, would be white.

  Args:
    matrix: [K, K], as `analysis.confusion_matrix` gives it.
    names: of the classes; None for their numbers. Of many classes only some.

  Raises:
    UserError: if it is not [K, K] with K names.
  """
  matrix = np.asarray(matrix)
  number = len(matrix)
  shown = [str(i) for i in range(number)] if names is None else list(names)
  if matrix.shape != (number, number) or not number or len(shown) != number:
    raise errors.UserError(
      f"matrix of shape {matrix.shape} and {len(shown)} names must be [K, K] "
      "and K."
    )
  parts = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
  side = min(max(0.38 * number, 3.0), 10.0)
  figure = canvas.figure(side + 1.6, side + 1.0)  # It says what is missing.
  from matplotlib.colors import PowerNorm

  axis = figure.subplots()
  few = number <= _MOST_NUMBERS
  scale = PowerNorm(1.0 if few else 0.5, vmin=0, vmax=1)
  drawn = axis.imshow(parts, cmap="Blues", norm=scale)
  step = -(-number // _MOST_NAMES)
  ticks = list(range(0, number, step))
  labels = [canvas.shortened(shown[i], 18) for i in ticks]
  axis.set_xticks(ticks, labels, rotation=90, fontsize=7)
  axis.set_yticks(ticks, labels, fontsize=7)
  axis.set_xlabel("predicted", fontsize=9)
  axis.set_ylabel("true", fontsize=9)
  if few:
    for i, j in np.ndindex(number, number):
      if matrix[i, j]:
        colour = "white" if parts[i, j] > 0.5 else "black"
        axis.text(
          j, i, matrix[i, j], ha="center", va="center", fontsize=7, color=colour
        )
  bar = figure.colorbar(drawn, ax=axis, shrink=0.7)
  bar.set_label("part of the true class", fontsize=8)
  bar.ax.tick_params(labelsize=7)
  return figure
