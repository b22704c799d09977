"""The names, and colours, of the classes that weights were trained on."""

import os
import re
from collections.abc import Mapping
from typing import Any, cast

from van_jax import errors, storage
from van_jax.interop.facts import imagenet
from van_jax.interop.readers import tensors

_IMAGENET_CLASSES = 1000
_PLACEHOLDER = re.compile(r"LABEL_\d+")  # Hugging Face's, where there are none.


def choose(
  tree: Mapping[str, Any],
  config: Mapping[str, Any],
  num_classes: int,
  *,
  of_images: bool = True,
) -> tuple[tuple[str, ...] | None, str]:
  """Returns one name a class, or None, and where the names are from.

  The file's own names come first (OpenMMLab's "meta"; Hugging Face's
  config.json), then ImageNet's where images have one of 1000 classes.

  Args:
    tree: of the file.
    config: that belongs to the file; {} for none.
    num_classes: of the model.
    of_images: whether a class is an image's, and not a pixel's.
  """
  for names, origin in (
    (_openmmlab(tree), "the file's meta"),
    (_hugging_face(config), "config.json"),
  ):
    if num_classes and len(names) == num_classes:
      return names, origin
  if of_images and num_classes == _IMAGENET_CLASSES:
    return imagenet.labels(), "ImageNet-1k, by their number"
  return None, "nowhere"


def read(path: str | os.PathLike[str]) -> tuple[str, ...]:
  """Returns the names in a text file, one a line.

  Raises:
    UserError: if it cannot be read, or is not text.
  """
  try:
    # With or without the mark that Windows' editors put first.
    text = storage.absolute(path).read_bytes().decode("utf-8-sig")
  except (OSError, ValueError) as error:
    raise errors.UserError(
      f"labels={path} must be a text file with one class name a line: {error}; "
      "save it as UTF-8."
    ) from error
  return tuple(line.strip() for line in text.splitlines() if line.strip())


def colors(
  tree: Mapping[str, Any], num_classes: int
) -> tuple[tuple[int, int, int], ...] | None:
  """Returns one colour a class, (r, g, b) of 0 to 255; None if there are none.

  They are OpenMMLab's "PALETTE".

  Args:
    tree: of the file.
    num_classes: of the model.
  """
  fields = _meta(tree)
  palette = fields.get("PALETTE")
  palette = fields.get("palette") if palette is None else palette
  if isinstance(palette, tensors.Tensor):  # Drawn at random, by mmseg.
    palette = palette.read().tolist() if len(palette.shape) == 2 else None
  if not isinstance(palette, list | tuple) or len(palette) != num_classes:
    return None
  if not all(isinstance(color, list | tuple) for color in palette):
    return None
  found = tuple(tuple(color) for color in palette)
  fit = all(
    len(color) == 3
    and all(type(level) is int and 0 <= level <= 255 for level in color)
    for color in found
  )
  return cast(Any, found) if fit else None


def _openmmlab(tree: Mapping[str, Any]) -> tuple[str, ...]:
  fields = _meta(tree)
  return _names(fields.get("CLASSES") or fields.get("classes"))


def _meta(tree: Mapping[str, Any]) -> Mapping[str, Any]:
  """Returns what OpenMMLab's programs note of the data set."""
  meta = tree.get("meta")
  if not isinstance(meta, dict):
    return {}
  data_set = meta.get("dataset_meta")
  return meta | (data_set if isinstance(data_set, dict) else {})


def _hugging_face(config: Mapping[str, Any]) -> tuple[str, ...]:
  names = config.get("id2label")
  if not isinstance(names, dict):
    return ()
  return _names([names.get(str(i)) for i in range(len(names))])


def _names(values: Any) -> tuple[str, ...]:
  """Returns names, where these are some; a bundle can hold what is text."""
  if not isinstance(values, list | tuple):
    return ()
  for value in values:
    if not isinstance(value, str) or _PLACEHOLDER.fullmatch(value):
      return ()
    if any("\ud800" <= letter <= "\udfff" for letter in value):
      return ()  # Half a character, as no program writes it.
  return tuple(values)
