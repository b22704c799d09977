"""Maps over photographs, and photographs in rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.analysis.drawing import canvas

_CELL = 2.2  # Inches.


def overlay(
  image: np.ndarray, heat: np.ndarray, *, strength: float = 0.75
) -> np.ndarray:
  """Returns a photograph with a map over it, uint8 [H, W, 3].

  The hotter, the less is seen of the photograph: where the map is 0 it is
  untouched, and where it is 1 `strength` of the colour is the map's.

  Args:
    image: uint8 [H, W, 3].
    heat: [H, W] in [0, 1]; `analysis.upsample` brings it to that size.
    strength: in [0, 1].

  Raises:
    UserError: if image and map are not of one size, or the map has NaNs.
  """
  _check_overlay(image, heat, strength)
  colours = 255 * canvas.colours("inferno", np.clip(heat, 0, 1))
  weight = strength * np.clip(heat, 0, 1)[..., None]
  return np.round((1 - weight) * image + weight * colours).astype(np.uint8)


def signed_overlay(
  image: np.ndarray, heat: np.ndarray, *, strength: float = 0.75
) -> np.ndarray:
  """Returns a photograph, grey, under a map of both signs, uint8 [H, W, 3].

  Red is positive and blue negative, at full strength where the map is largest
  in size.

  Args:
    image: uint8 [H, W, 3].
    heat: [H, W], as `analysis.occlusion` gives it, of any scale.
    strength: in [0, 1].

  Raises:
    UserError: if image and map are not of one size, or the map has NaNs.
  """
  _check_overlay(image, heat, strength)
  size = np.abs(heat).max() or 1
  grey = image.mean(-1, keepdims=True).repeat(3, -1)
  colours = 255 * canvas.colours("RdBu_r", 0.5 + 0.5 * heat / size)
  weight = strength * (np.abs(heat) / size)[..., None]
  return np.round((1 - weight) * grey + weight * colours).astype(np.uint8)


def grid(
  rows: Sequence[Sequence[np.ndarray]],
  *,
  columns: Sequence[str] | None = None,
  captions: Sequence[Sequence[str]] | None = None,
) -> Any:
  """Returns a Figure of pictures in rows and columns.

  Args:
    rows: of pictures, each row as long as the others: [H, W, 3] of bytes or in
      [0, 1], or [H, W] of any scale, grey.
    columns: a title for each column.
    captions: a line below each picture.

  Raises:
    UserError: if rows, columns and captions do not fit one another, or one is
      no picture.
  """
  lengths = {len(row) for row in rows} | {len(r) for r in captions or ()}
  lengths |= {len(columns)} if columns else set()
  if len(lengths) != 1 or 0 in lengths or len(captions or rows) != len(rows):
    raise errors.UserError(
      f"{len(rows)} rows, their columns and captions must be of one length; "
      f"there are {sorted(lengths)}."
    )
  (across,) = lengths
  height = _CELL * (1.12 if captions else 1) * len(rows)
  figure = canvas.figure(_CELL * across, height + (0.3 if columns else 0))
  axes = figure.subplots(len(rows), across, squeeze=False)
  for i, row in enumerate(rows):
    for j, picture in enumerate(row):
      axes[i, j].imshow(_shown(picture), cmap="gray")
      axes[i, j].set(xticks=[], yticks=[])
      axes[i, j].spines[:].set_visible(False)
      if columns and not i:
        axes[i, j].set_title(canvas.shortened(columns[j]), fontsize=9)
      if captions:
        axes[i, j].set_xlabel(canvas.shortened(captions[i][j], 30), fontsize=8)
  return figure


def _shown(picture: np.ndarray) -> np.ndarray:
  """Returns a picture that has colours, or raises UserError."""
  picture = np.asarray(picture)
  if picture.ndim != 2 and (picture.ndim != 3 or picture.shape[2] != 3):
    raise errors.UserError(
      f"a picture of shape {picture.shape} must be [H, W, 3] or [H, W]."
    )
  coloured = picture.ndim == 3 and picture.dtype != np.uint8
  if coloured and not ((picture >= 0) & (picture <= 1)).all():
    raise errors.UserError(
      f"a picture of {picture.dtype} from {picture.min():g} to "
      f"{picture.max():g} must be uint8 or in [0, 1]; of normalised images it "
      "is images * std + mean."
    )
  return picture


def _check_overlay(
  image: np.ndarray, heat: np.ndarray, strength: float
) -> None:
  if not 0 <= strength <= 1:
    raise errors.UserError(f"strength={strength} must be from 0 to 1.")
  if np.isnan(heat).any():
    raise errors.UserError("the map has NaNs, which have no colour.")
  if image.dtype != np.uint8 or image.shape != (*heat.shape, 3):
    raise errors.UserError(
      f"image {image.shape} of {image.dtype} and map {heat.shape} must be "
      "uint8 [H, W, 3] and [H, W]; analysis.upsample brings a map to that size."
    )
