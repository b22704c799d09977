"""The names of the classes that a file's weights were trained on."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from van_jax import errors, storage
from van_jax.interop.facts import imagenet

_IMAGENET_CLASSES = 1000


def choose(
  tree: Mapping[str, Any], path: str | os.PathLike[str], num_classes: int
) -> tuple[tuple[str, ...] | None, str]:
  """Returns one name a class, or None, and where the names are from.

  The file's own names come first (OpenMMLab's "meta"; a config.json beside it,
  Hugging Face's), then ImageNet's where there are 1000 classes.

  Args:
    tree: of the file.
    path: of the file.
    num_classes: of the model.
  """
  for names, origin in (
    (_openmmlab(tree), "the file's meta"),
    (_hugging_face(pathlib.Path(path).with_name("config.json")), "config.json"),
  ):
    if num_classes and len(names) == num_classes:
      return names, origin
  if num_classes == _IMAGENET_CLASSES:
    return imagenet.labels(), "ImageNet-1k, by their number"
  return None, "nowhere"


def read(path: str | os.PathLike[str]) -> tuple[str, ...]:
  """Returns the names in a text file, one a line.

  Raises:
    UserError: if it cannot be read, or is not text.
  """
  try:
    text = storage.absolute(path).read_text(encoding="utf-8")
  except (OSError, ValueError) as error:
    raise errors.UserError(
      f"labels={path} must be a text file with one class name a line: {error}."
    ) from error
  return tuple(line.strip() for line in text.splitlines() if line.strip())


def _openmmlab(tree: Mapping[str, Any]) -> tuple[str, ...]:
  meta = tree.get("meta")
  if not isinstance(meta, dict):
    return ()
  data_set = meta.get("dataset_meta")
  fields = meta | (data_set if isinstance(data_set, dict) else {})
  return _names(fields.get("CLASSES") or fields.get("classes"))


def _hugging_face(path: pathlib.Path) -> tuple[str, ...]:
  try:
    names = json.loads(path.read_text(encoding="utf-8"))["id2label"]
    ordered = [names[str(i)] for i in range(len(names))]
  except (OSError, ValueError, KeyError, TypeError, RecursionError):
    return ()  # It is not theirs, and not ours to judge.
  placeholders = [f"LABEL_{i}" for i in range(len(ordered))]
  return () if ordered == placeholders else _names(ordered)


def _names(values: Any) -> tuple[str, ...]:
  if not isinstance(values, list | tuple):
    return ()
  return tuple(values) if all(isinstance(v, str) for v in values) else ()
