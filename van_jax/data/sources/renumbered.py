"""A split whose labels are numbers of another list of classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.data.sources.split import Share, Split
from van_jax.data.tensorflow import tf


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RenumberedSplit(Split):
  """Another split's examples, each class under the number that it is given.

  Attributes:
    split: that is read.
    numbers: [S] int32, by label of the split; labels below 0 are left, and
      those from S on become K, which is no class either.
    class_names: that the new labels count in.
  """

  split: Split
  numbers: np.ndarray
  class_names: tuple[str, ...] = ()

  @property
  def title(self) -> str:
    """Names the split, for messages."""
    return self.split.title

  @property
  def size(self) -> int:
    """Number of examples."""
    return self.split.size

  @property
  def has_labels(self) -> bool:
    """Whether labels say anything."""
    return self.split.has_labels

  def check_training(self, batch_size: int, process_count: int) -> None:
    """Raises UserError where it cannot be shuffled into such batches."""
    self.split.check_training(batch_size, process_count)

  def shuffled(self, seed: int, share: Share) -> Any:
    """Returns the split's own order."""
    return self.split.shuffled(seed, share)

  def sequence(self, start: int, stop: int) -> Any:
    """Returns the split's own order."""
    return self.split.sequence(start, stop)

  def fetch(self, handle: Any) -> dict[str, Any]:
    """Returns the split's example, with the new label."""
    parts = dict(self.split.fetch(handle))
    label = tf.cast(parts["label"], tf.int32)
    inside = (label >= 0) & (label < len(self.numbers))
    new = tf.gather(tf.constant(self.numbers), tf.where(inside, label, 0))
    # A mistake in the data stays one: it must not become another class.
    other = tf.where(label < 0, label, len(self.class_names))
    return parts | {"label": tf.where(inside, new, other)}

  def describe(self, index: int) -> str:
    """Names an example, for messages."""
    return self.split.describe(index)


def in_terms_of(class_names: Sequence[str], split: Split, title: str) -> Split:
  """Returns a split whose labels count in other names, of the same classes.

  Args:
    class_names: all of the split's, in any order, and perhaps others.
    split: whose labels count in its own names.
    title: of what has `class_names`, for messages.

  Raises:
    UserError: if the split has a class that is none of them.
  """
  if tuple(class_names) == split.class_names:
    return split
  if split.mask_numbering:
    raise errors.UserError(
      f"{split.title} has other classes than {title}, or another order of "
      "them; masks number classes, so that both must have the same names."
    )
  number = {name: i for i, name in enumerate(class_names)}
  strange = [name for name in split.class_names if name not in number]
  if strange or not split.class_names:
    listed = ", ".join(strange[:5]) or "no names"
    raise errors.UserError(
      f"{split.title} has {len(strange)} classes that {title} lacks: {listed}; "
      f"that one has {', '.join(sorted(class_names)[:5]) or 'no names'}. A "
      "class must have the same name in both, and training must have it."
    )
  return RenumberedSplit(
    split=split,
    numbers=np.array([number[n] for n in split.class_names], np.int32),
    class_names=tuple(class_names),
  )
