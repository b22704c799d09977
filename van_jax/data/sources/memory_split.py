"""A split that is held in memory, as it is encoded."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from van_jax.data.class_colors import Colors
from van_jax.data.mask_numbering import MaskNumbering
from van_jax.data.sources.split import IndexedSplit
from van_jax.data.tensorflow import tf


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MemorySplit(IndexedSplit):
  """Examples whose parts are rows of arrays.

  Attributes:
    title: for messages.
    parts: by name, what has N rows: "image", encoded (bytes), and what belongs
      to it, "label" (int32) for one; tensors, arrays, or lists.
    class_names: of the labels; () where there are none.
    mask_numbering: of labels that are encoded masks; None where they are not.
    class_colors: of those masks' classes; () for none.
  """

  title: str
  parts: Mapping[str, Any]
  class_names: tuple[str, ...] = ()
  mask_numbering: MaskNumbering | None = None
  class_colors: Colors = ()

  @property
  def size(self) -> int:
    """Number of examples."""
    return len(self.parts["image"])

  @functools.cached_property
  def _tensors(self) -> dict[str, Any]:
    with tf.init_scope():  # Out of any graph: it would hold a copy.
      return {k: tf.convert_to_tensor(v) for k, v in self.parts.items()}

  def fetch(self, handle: Any) -> dict[str, Any]:
    """Takes an example out of the memory."""
    return {name: values[handle] for name, values in self._tensors.items()}
