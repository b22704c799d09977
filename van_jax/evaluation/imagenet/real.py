"""ReaL's labels: several right ones an image, or none; arXiv 2006.07159."""

import json
from typing import Any

import numpy as np

from van_jax import errors

NUM_IMAGES = 50_000


def parse(text: str, *, name: str, num_classes: int) -> np.ndarray:
  """Returns the labels in real.json's text, [50000, L] int32, -1 for none.

  Args:
    text: JSON, a list of lists of labels: those of ILSVRC2012_val_00000001 to
      _00050000.
    name: of the file, for messages.
    num_classes: K.

  Raises:
    UserError: if it is anything else.
  """
  try:
    lists = json.loads(text)
  except ValueError as error:
    raise errors.UserError(
      f"{name} is not JSON: {error}; download it again."
    ) from error
  if not isinstance(lists, list) or len(lists) != NUM_IMAGES:
    length = len(lists) if isinstance(lists, list) else type(lists).__name__
    raise errors.UserError(
      f"{name} must be a list of {NUM_IMAGES} lists, one an image of the "
      f"validation set, and has {length}; download it again."
    )
  for number, labels in enumerate(lists, start=1):
    if not _are_labels(labels, num_classes):
      raise errors.UserError(
        f"{name}: entry {number}, {str(labels)[:60]}, must be a list of labels "
        f"from 0 to {num_classes - 1}; download the file again."
      )
  if not any(lists):
    raise errors.UserError(f"{name} has no label at all; download it again.")
  table = np.full((NUM_IMAGES, max(map(len, lists))), -1, np.int32)
  for row, labels in zip(table, lists, strict=True):
    row[: len(labels)] = labels
  return table


def _are_labels(labels: Any, num_classes: int) -> bool:
  return isinstance(labels, list) and all(
    type(label) is int and 0 <= label < num_classes for label in labels
  )
