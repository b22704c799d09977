"""Masks in the colours of their classes: alone, and over photographs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from van_jax import errors
from van_jax.analysis.drawing import canvas

_WIDTH, _MOST_HEIGHT = 4.5, 6.0  # Inches, of a picture.
_LINE = 0.22  # Inches, of the legend.
_COLUMNS = 4  # Of the legend.
_VOID = (224, 224, 192)  # As PASCAL VOC draws what has no class.

Colors = Sequence[Sequence[int]]


def palette_image(mask: np.ndarray, colors: Colors) -> Image.Image:
  """Returns a mask as a PIL image with a palette; `save` writes a PNG of it.

  Readers of masks find the numbers as they are, and viewers show the colours.

  Args:
    mask: uint8 [H, W].
    colors: (r, g, b) of 0 to 255 of class 0, 1 and so on; other numbers, such
      as 255, are of the colour of void.

  Raises:
    UserError: for something else.
  """
  _check_mask(mask)
  image = Image.fromarray(mask)
  image.putpalette(_palette(colors).tobytes())
  return image


def mask_overlay(
  image: np.ndarray, mask: np.ndarray, colors: Colors, *, strength: float = 0.55
) -> np.ndarray:
  """Returns a photograph under the colours of a mask, uint8 [H, W, 3].

  Args:
    image: uint8 [H, W, 3].
    mask: uint8 [H, W]; where its number is that of no class, the photograph is
      left as it is.
    colors: as of `palette_image`.
    strength: of the colours, in [0, 1]; what is left is the photograph's.

  Raises:
    UserError: if image and mask are not of one size, or something else.
  """
  _check_mask(mask)
  if image.dtype != np.uint8 or image.shape != (*mask.shape, 3):
    raise errors.UserError(
      f"image {image.shape} of {image.dtype} and mask {mask.shape} must be "
      "uint8 [H, W, 3] and [H, W], of one size."
    )
  if not 0 <= strength <= 1:
    raise errors.UserError(f"strength={strength} must be from 0 to 1.")
  weight = strength * (mask < len(colors))[..., None]
  blend = (1 - weight) * image + weight * _palette(colors)[mask]
  return np.round(blend).astype(np.uint8)


def masks(
  images: Sequence[np.ndarray],
  answers: Sequence[np.ndarray],
  *,
  colors: Colors,
  names: Sequence[str],
  captions: Sequence[str] | None = None,
) -> Any:
  """Returns a Figure: photographs, each beside itself under its mask.

  Below them are the colours and names of the classes that are there, those
  with the most pixels first, and their parts of all pixels.

  Args:
    images: uint8 [H, W, 3], of any sizes.
    answers: uint8 [H, W], a mask for each.
    colors: as of `palette_image`, one a class.
    names: of the classes.
    captions: a line below each photograph.

  Raises:
    UserError: if these do not fit one another.
  """
  given = [
    len(images),
    len(answers),
    len(images if captions is None else captions),
  ]
  if len(set(given)) != 1 or not given[0] or len(colors) != len(names):
    raise errors.UserError(
      f"{given[0]} images, {given[1]} masks and {given[2]} captions must be as "
      f"many, and {len(colors)} colors as many as {len(names)} names."
    )
  overlays = [
    mask_overlay(image, mask, colors)
    for image, mask in zip(images, answers, strict=True)
  ]
  entries = _entries(answers, names)
  heights = [_height(image) for image in images]
  lines = -(-len(entries) // _COLUMNS)
  figure = canvas.figure(
    2 * _WIDTH, sum(heights) + 0.3 * len(heights) + _LINE * lines + 0.1
  )
  axes = figure.subplots(
    len(images), 2, squeeze=False, gridspec_kw={"height_ratios": heights}
  )
  for row, pictures in enumerate(zip(images, overlays, strict=True)):
    for axis, picture in zip(axes[row], pictures, strict=True):
      axis.imshow(picture)
      axis.set(xticks=[], yticks=[])
      axis.spines[:].set_visible(False)
    if captions:
      axes[row, 0].set_xlabel(canvas.shortened(captions[row], 50), fontsize=8)
  _add_legend(figure, entries, colors)
  return figure


def _entries(
  answers: Sequence[np.ndarray], names: Sequence[str]
) -> list[tuple[int, str]]:
  """Returns the classes that are there, and what the legend says of them."""
  counts = sum(np.bincount(mask.ravel(), minlength=256) for mask in answers)
  counts = np.asarray(counts)
  order: list[int] = np.argsort(-counts[: len(names)], kind="stable").tolist()
  return [
    (k, f"{canvas.shortened(names[k])} {counts[k] / counts.sum():.1%}")
    for k in order
    if counts[k]
  ]


def _add_legend(
  figure: Any, entries: Sequence[tuple[int, str]], colors: Colors
) -> None:
  from matplotlib.patches import Patch

  patches = [
    Patch(facecolor=_in_one(colors[k]), edgecolor="grey", label=text)
    for k, text in entries
  ]
  if patches:  # All else is void.
    figure.legend(
      handles=patches,
      loc="outside lower center",
      ncols=min(_COLUMNS, len(patches)),
      fontsize=8,
      frameon=False,
    )


def _in_one(color: Sequence[int]) -> tuple[float, float, float]:
  """Returns a colour as matplotlib has it, of [0, 1]."""
  r, g, b = color
  return r / 255, g / 255, b / 255


def _height(image: np.ndarray) -> float:
  """Returns the inches that a photograph takes."""
  return min(_WIDTH * image.shape[0] / image.shape[1], _MOST_HEIGHT)


def _palette(colors: Colors) -> np.ndarray:
  """Returns the colours of all numbers, uint8 [256, 3]."""
  palette = np.full((256, 3), _VOID, np.uint8)
  palette[: len(colors)] = np.asarray(colors, np.uint8)
  return palette


def _check_mask(mask: np.ndarray) -> None:
  if mask.ndim != 2 or mask.dtype != np.uint8 or not mask.size:
    raise errors.UserError(
      f"mask of shape {mask.shape} and dtype {mask.dtype} must be uint8 "
      "[H, W], the number of a class for each pixel."
    )
