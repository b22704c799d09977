"""A prepared TFDS data set that has an image and a mask of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from van_jax import errors
from van_jax.data import arguments, class_colors as class_colors_lib
from van_jax.data.mask_numbering import VOID, MaskNumbering
from van_jax.data.sources import pair_classes, tfds as tfds_source, tfds_folders
from van_jax.data.sources.split import Split
from van_jax.data.tensorflow import tfds


def opener(
  directory: str,
  *,
  name: str,
  image: str = "image",
  mask: str = "segmentation_mask",
  class_names: Sequence[str] = (),
  class_colors: Sequence[Sequence[int]] = (),
  num_classes: int | None = None,
  reduce_zero_label: bool = False,
  ignore_index: int = VOID,
  allow_void: bool = False,
  shuffle_megabytes: int = 512,
) -> Callable[[str], Split]:
  """Returns the function that opens a split by name.

  Args:
    directory: TFDS' `data_dir`.
    name: of the data set.
    image: the feature that is the image.
    mask: the feature that is its mask.
    class_names: see `pair_classes.py`; masks of TFDS have no names.
    class_colors: (r, g, b) of 0 to 255, one a class, for pictures of masks.
    num_classes: likewise.
    reduce_zero_label: see `MaskNumbering`.
    ignore_index: likewise.
    allow_void: likewise.
    shuffle_megabytes: as of `tfds.opener`.

  Raises:
    UserError: it is not prepared, or has no such pair.
  """
  arguments.check_whole("data.options.shuffle_megabytes", shuffle_megabytes, 1)
  classes = pair_classes.choose(
    class_names=class_names, num_classes=num_classes
  )
  colors = class_colors_lib.checked(class_colors, len(classes))
  numbering = MaskNumbering(
    num_classes=len(classes),
    reduce_zero_label=reduce_zero_label,
    ignore_index=ignore_index,
    allow_void=allow_void,
  )
  builder = tfds_folders.prepared_builder(name, directory)
  _check_features(builder, name, image, mask)

  def open_split(split: str) -> Split:
    opened = tfds_source.open_split(
      builder,
      name,
      split,
      parse=tfds_source.image_parser(builder, {"image": image, "label": mask}),
      class_names=classes,
      shuffle_megabytes=shuffle_megabytes,
    )
    return dataclasses.replace(
      opened, mask_numbering=numbering, class_colors=colors
    )

  return open_split


def _check_features(builder: Any, name: str, image: str, mask: str) -> None:
  features = dict(builder.info.features.items())
  for option, feature in (("image", image), ("mask", mask)):
    if not isinstance(features.get(feature), tfds.features.Image):
      images = sorted(
        key
        for key, value in features.items()
        if isinstance(value, tfds.features.Image)
      )
      raise errors.UserError(
        f"data.options.{option}={feature!r} must be a feature of {name!r} that "
        f"is an image: {', '.join(images) or 'it has none'}."
      )
