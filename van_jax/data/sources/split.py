"""Which example comes at which step: a function of (seed, step) alone.

Epoch e is a permutation of all examples, drawn from (seed, e). Step s of the
epoch takes the permutation's positions s * batch_size up to (s + 1) *
batch_size, process p the p-th equal part of them. The permutation is computed
element by element (a small block cipher): it takes no memory, and starting in
the middle of an epoch costs what starting at its beginning costs.

Repeated augmentation (arXiv 1901.09335) shows every example of the permutation
`repeats` times, each time augmented by itself. An epoch keeps its number of
steps, as in DeiT's recipe, and so shows a part of the examples only: a
repeats-th of them, others in every epoch. The copies lie as far from each other
in a batch as may be, so that no group of it (of BatchNorm, of mixing) has two
of them as long as there are as many groups as copies; DeiT's sampler gives them
to different processes to the same end.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.data.class_colors import Colors
from van_jax.data.mask_numbering import MaskNumbering
from van_jax.data.tensorflow import tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
  """One process's part of the training batches.

  Attributes:
    batch_size: examples a step, over all processes.
    start_step: the first step to read, counted from 0.
    process_index: this process.
    process_count: all processes; divides batch_size.
    repeats: how many times an example comes, at least 1.
  """

  batch_size: int
  start_step: int
  process_index: int
  process_count: int
  repeats: int = 1

  @property
  def examples_per_step(self) -> int:
    """Examples that this process reads a step."""
    return self.batch_size // self.process_count


# What batches have of their own, and no example may bring.
RESERVED = ("damaged", "index", "mask")


class Split(abc.ABC):
  """The examples of a split, in two orders; read through `fetch`.

  Attributes:
    title: names the split, for messages.
    class_names: of the labels; () where there are none.
    mask_numbering: what the numbers in masks mean, of a split of images and
      masks; None where labels are no masks.
    class_colors: of the classes, in pictures of masks; () where there are none.
  """

  title: str
  class_names: tuple[str, ...] = ()
  mask_numbering: MaskNumbering | None = None
  class_colors: Colors = ()

  @property
  @abc.abstractmethod
  def size(self) -> int:
    """Number of examples."""

  @property
  def has_labels(self) -> bool:
    """Whether labels say anything, so that there is something to score."""
    return True

  def check_training(self, batch_size: int, process_count: int) -> None:
    """Raises UserError where it cannot be shuffled into such batches."""
    del batch_size, process_count  # Most splits can.

  @abc.abstractmethod
  def shuffled(self, seed: int, share: Share) -> Any:
    """Returns the endless tf.data.Dataset of what to show, in its order.

    Its elements are (epoch, repetition, index, handle), int64 all but the
    handle; 0 <= repetition < share.repeats.
    """

  @abc.abstractmethod
  def sequence(self, start: int, stop: int) -> Any:
    """Returns the tf.data.Dataset of (index, handle), start <= index < stop."""

  @abc.abstractmethod
  def fetch(self, handle: Any) -> dict[str, Any]:
    """Returns the parts of an example by name, as tensors; runs in a graph.

    "image" is the encoded image, [] string. All others come with it into the
    batch as they are, and have known shapes: "label", [] int32, of a data set
    for classification. With a `mask_numbering` "label" is the encoded mask, []
    string, no bytes without labels, and there is nothing else. The names in
    RESERVED are taken.
    """

  def fetch_heads(self, handle: Any, size: int) -> dict[str, Any]:
    """Returns what `fetch` does, or the encoded parts' first bytes alone.

    Runs in a graph; of use to splits that can read those without the rest.

    Args:
      handle: as of `fetch`.
      size: bytes of each part, at least, where it has as many.
    """
    del size
    return self.fetch(handle)

  def describe(self, index: int) -> str:
    """Names an example, for messages."""
    return f"example {index} of {self.title}"

  def stem(self, index: int) -> str:
    """Returns what a file about an example is called, without its ending.

    It may have folders before its name, "/" between them, and no two examples
    have the same.
    """
    return f"{index:08d}"


class IndexedSplit(Split):
  """A split of which any example can be read at any time: handle = index."""

  def shuffled(self, seed: int, share: Share) -> Any:
    """Returns the endless tf.data.Dataset of (epoch, repetition, index, index).

    An epoch has size // batch_size steps; the size % batch_size examples that
    come last in its permutation are left out (others in every epoch).
    """
    mine = share.examples_per_step
    steps_per_epoch = self.size // share.batch_size
    places = tf.constant(_spread_copies(share.batch_size, share.repeats))

    def example(count):
      step = count // mine
      epoch, step_of_epoch = step // steps_per_epoch, step % steps_per_epoch
      place = places[share.process_index * mine + count % mine]
      position = step_of_epoch * share.batch_size + place
      # With the 4 rounds of tf.random.experimental.index_shuffle the
      # permutations of two epochs are plainly alike (50,000 examples); from 8
      # on no test of ours sees a trace, and 16 cost next to nothing.
      index = tf.raw_ops.RandomIndexShuffle(
        index=position // share.repeats,
        seed=tf.stack([tf.constant(seed, tf.int64), epoch, 0]),
        max_index=tf.constant(self.size - 1, tf.int64),
        rounds=16,
      )
      return epoch, position % share.repeats, index, index

    first = share.start_step * mine
    return tf.data.Dataset.range(first, tf.int64.max).map(example)

  def sequence(self, start: int, stop: int) -> Any:
    """Returns the tf.data.Dataset of (index, index)."""
    return tf.data.Dataset.range(start, stop).map(lambda i: (i, i))


def _spread_copies(batch_size: int, repeats: int) -> np.ndarray:
  """Returns a batch's order, [batch_size], of examples that come in rows.

  Neighbours in the rows are batch_size // repeats places or more apart.
  """
  return np.argsort(np.arange(batch_size) % repeats, kind="stable")


def fetch_parts(
  split: Split, handle: Any, *, head: int | None = None
) -> tuple[Any, dict[str, Any]]:
  """Returns an example's encoded image, [] string, and its other parts.

  Args:
    split: that it is of.
    handle: what the split fetches it by.
    head: bytes of each encoded part that are enough; None for all.

  Raises:
    UserError: the split hands out no image, or a reserved name.
  """
  fetched = split.fetch_heads(handle, head) if head else split.fetch(handle)
  parts = dict(fetched)
  if "image" not in parts or parts.keys() & set(RESERVED):
    raise errors.UserError(
      f"{split.title} hands out {sorted(parts)}; an example must have an "
      f"'image', and none of {', '.join(RESERVED)}, which batches have."
    )
  return parts.pop("image"), parts
