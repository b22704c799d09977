"""Kernels, a picture a channel."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.analysis.drawing import canvas

_CELL = 0.9  # Inches.
_ACROSS = 8


def kernels(
  rows: dict[str, np.ndarray], *, channels: Sequence[int] | None = None
) -> Any:
  """Returns a Figure of kernels: for each name a band of its channels.

  Red is positive, blue negative, white zero. Each kernel of a band is scaled
  by its own largest value in size: what is compared is their shape.

  Args:
    rows: by name, [h, w, C] each.
    channels: which of them; None for the first 16.

  Raises:
    UserError: if there is none, they are not [h, w, C], or a channel is not
      there.
  """
  if not rows or any(kernel.ndim != 3 for kernel in rows.values()):
    shapes = {name: kernel.shape for name, kernel in rows.items()}
    raise errors.UserError(
      f"rows has kernels {shapes}, and must have one [h, w, C] at least, as "
      "analysis.depthwise_kernels gives them."
    )
  most = min(kernel.shape[2] for kernel in rows.values())
  chosen = list(range(min(16, most))) if channels is None else list(channels)
  if not chosen or not all(0 <= channel < most for channel in chosen):
    raise errors.UserError(
      f"channels={chosen} must be some of 0 to {most - 1}, the kernels'."
    )
  lines = -(-len(chosen) // _ACROSS)
  across = min(_ACROSS, len(chosen))
  heights = [lines * (_tall(kernel) + 0.16) + 0.3 for kernel in rows.values()]
  figure = canvas.figure(max(_CELL * across, 3.2), sum(heights))
  bands = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights)[
    :, 0
  ]
  for band, (name, kernel) in zip(bands, rows.items(), strict=True):
    down, wide, _ = kernel.shape
    band.suptitle(f"{name}, {down} x {wide}", fontsize=9)
    axes = band.subplots(lines, across, squeeze=False).ravel()
    for axis in axes:
      axis.set_axis_off()
    for axis, channel in zip(axes, chosen, strict=False):
      values = kernel[:, :, channel]
      size = np.abs(values).max() or 1
      axis.imshow(values, cmap="RdBu_r", vmin=-size, vmax=size)
      axis.set_title(str(channel), fontsize=6, pad=1)
  return figure


def _tall(kernel: np.ndarray) -> float:
  """Returns the inches that a kernel takes; a row's are few."""
  down, across, _ = kernel.shape
  return _CELL * min(1, max(down / across, 0.3))
