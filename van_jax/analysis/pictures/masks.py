"""The picture of a segmenter's masks, over their photographs."""

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from van_jax import bundle as bundle_lib, errors, places, storage
from van_jax.analysis import drawing
from van_jax.analysis.pictures.subject import Request, class_name, image_files
from van_jax.data import class_colors
from van_jax.data.images import preprocessing


def draw_masks(
  request: Request,
  *,
  image: Sequence[str],
  mask: str | None = None,
  count: int = 8,
) -> dict[str, Any]:
  """Draws the masks that a segmenter gives, over their photographs.

  Args:
    request: weights and output.
    image: files, and folders of images.
    mask: a PNG for the one image's mask: the numbers of its classes, with a
      palette.
    count: of images at the most.

  Returns:
    output, mask, images, and for each image its classes' parts of its pixels,
    the largest first.

  Raises:
    UserError: bad input.
  """
  files = image_files(image, most=count)
  _check_mask(request, mask, len(files))
  bundle = request.load_segmenter()
  turned = bundle.preprocessing.exif_rotation
  photographs = [
    np.asarray(preprocessing.rgb_of(path, exif_rotation=turned))
    for path in files
  ]
  # They are turned already, and arrays say nothing of it.
  masks = bundle_lib.predict(bundle, photographs)
  number = bundle.model.num_classes
  colors = bundle.colors or class_colors.default(number)
  classes = [class_name(bundle, k) for k in range(number)]
  names = [os.path.basename(path) for path in files]
  figure = drawing.masks(
    photographs, masks, colors=colors, names=classes, captions=names
  )
  if mask:
    _write(mask, masks[0], colors)
  # Of two classes the first synonyms may be one.
  parts = [_parts(found, bundle.labels or classes) for found in masks]
  return request.finish(figure, mask=mask, images=names, classes=parts)


def _check_mask(request: Request, mask: str | None, count: int) -> None:
  """Raises UserError where the mask cannot be written."""
  if mask is None:
    return
  if count != 1:
    raise errors.UserError(
      f"mask={mask} is of one image, and there are {count}; name one, or leave "
      "the mask out."
    )
  place = places.check_file(
    mask, "mask", kinds=(".png",), overwrite=request.overwrite
  )
  if place == storage.absolute(request.output):
    raise errors.UserError(
      f"mask={mask} is the output too; name another file for one of them."
    )


def _write(path: str, mask: np.ndarray, colors: class_colors.Colors) -> None:
  content = io.BytesIO()
  drawing.palette_image(mask, colors).save(content, format="PNG")
  with storage.replacing(path) as draft:
    draft.write_bytes(content.getvalue())


def _parts(mask: np.ndarray, names: Sequence[str]) -> dict[str, float]:
  """Returns each class's part of the pixels, where it has any."""
  counts = np.bincount(mask.ravel(), minlength=256)[: len(names)]
  order: list[int] = np.argsort(-counts, kind="stable").tolist()
  return {
    names[k]: round(float(counts[k] / mask.size), 4) for k in order if counts[k]
  }
