"""ReaL: several right labels an image, or none; arXiv 2006.07159.

An answer is right if it is among the image's labels (top-5: if one of the five
is). Images without any label are not counted.
"""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from van_jax.evaluation import metrics

NUM_IMAGES = 50_000


def label_sums(
  logits: jax.Array, labels: jax.Array, mask: jax.Array
) -> dict[str, jax.Array]:
  """Returns sums over the real examples of a batch that have a label.

  Args:
    logits: [B, K].
    labels: [B, L], integers in [0, K); -1 where there is none.
    mask: [B], true for real examples, false for padding.

  Returns:
    "top1", "top5" (of min(5, K) classes) and "count": [] int32.
  """
  logits = logits.astype(jnp.float32)
  num_classes = logits.shape[1]
  # A label of -1 ranks last, as metrics.label_rank says.
  ranks = jax.vmap(metrics.label_rank, in_axes=(None, 1))(logits, labels)
  best = jnp.min(ranks, axis=0)  # [B]
  counted = mask.astype(jnp.bool) & (labels >= 0).any(axis=1)
  return {
    "top1": jnp.sum(counted & (best < 1), dtype=jnp.int32),
    "top5": jnp.sum(counted & (best < min(5, num_classes)), dtype=jnp.int32),
    "count": jnp.sum(counted, dtype=jnp.int32),
  }


def parse(text: str, *, name: str, num_classes: int) -> np.ndarray:
  """Returns the labels in real.json's text, [50000, L] int32, -1 for none.

  Args:
    text: JSON, a list of lists of labels: those of ILSVRC2012_val_00000001 to
      _00050000.
    name: of the file, for messages.
    num_classes: K.

  Raises:
    ValueError: if it is anything else.
  """
  try:
    lists = json.loads(text)
  except ValueError as error:
    raise ValueError(
      f"{name} is not JSON: {error}; download it again."
    ) from error
  if not isinstance(lists, list) or len(lists) != NUM_IMAGES:
    length = len(lists) if isinstance(lists, list) else type(lists).__name__
    raise ValueError(
      f"{name} must be a list of {NUM_IMAGES} lists, one an image of the "
      f"validation set, and has {length}; download it again."
    )
  for number, labels in enumerate(lists, start=1):
    if not _are_labels(labels, num_classes):
      raise ValueError(
        f"{name}: entry {number}, {str(labels)[:60]}, must be a list of labels "
        f"from 0 to {num_classes - 1}; download the file again."
      )
  if not any(lists):
    raise ValueError(f"{name} has no label at all; download it again.")
  table = np.full((NUM_IMAGES, max(map(len, lists))), -1, np.int32)
  for row, labels in zip(table, lists, strict=True):
    row[: len(labels)] = labels
  return table


def _are_labels(labels: Any, num_classes: int) -> bool:
  return isinstance(labels, list) and all(
    type(label) is int and 0 <= label < num_classes for label in labels
  )
