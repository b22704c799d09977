"""Evaluation batches of whole images and masks, as NumPy arrays on the host."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.data.images import decode, masks, reading
from van_jax.data.images.dense_preprocessing import (
  DensePreprocessing,
  resize_whole,
)
from van_jax.data.mask_numbering import VOID
from van_jax.data.pipeline import eval_plan, grouping, pair_check, readable
from van_jax.data.pipeline.eval_plan import NOTHING, Planned
from van_jax.data.sources.split import IndexedSplit, Split, fetch_parts
from van_jax.data.tensorflow import tf

Batch = dict[str, Any]
Size = tuple[int, int]  # (height, width).
_HEAD_BYTES = 1 << 16  # Where the sizes of nearly all JPEG and PNG lie.
_REMEDY = (
  "replace or remove it: data.on_damaged='skip' is for training, and "
  "evaluation counts every image"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseEvalBatches:
  """One process's batches of whole images, of one shape each.

  Every example comes once, in one process; all processes have as many batches,
  of the same shapes in the same order, filled up with masked zeros. The first
  look at them reads all images' heads, in every process.

  Iterating, any number of times, yields
  {"image": uint8 [B, h, w, 3], as the network sees it, or a tuple of such,
  one a ratio, where there are several,
  "label": uint8 [B, H, W], at its own size at the top left, 255 beyond,
  "size": int32 [B, 2], each label's height and width, [H, W] of padding,
  "mask": bool [B], false for padding}.

  Attributes:
    split: of images and masks.
    batch_size: of this process, B.
    preprocessing: what the weights expect; mean and std are NOT applied.
    ratios: of `preprocessing.scale`, at each of which a file is resized.
    process_index: this process.
    process_count: all processes.
  """

  split: Split
  batch_size: int
  preprocessing: DensePreprocessing
  ratios: tuple[float, ...]
  process_index: int
  process_count: int

  def __len__(self) -> int:
    return len(self.plan)

  @property
  def shapes(self) -> list[tuple[tuple[Size, ...], Size]]:
    """Sizes of the images, one a ratio, and of the labels, of each batch."""
    return [(batch.image_shapes, batch.label_shape) for batch in self.plan]

  @property
  def indices(self) -> np.ndarray:
    """Numbers, in the split, of this process's examples.

    Returns:
      int64 [number of batches, B], -1 for padding.
    """
    start = self.process_index * self.batch_size
    mine = slice(start, start + self.batch_size)
    return np.stack([batch.indices[mine] for batch in self.plan])

  @functools.cached_property
  def plan(self) -> list[Planned]:
    """The batches over all processes.

    Raises:
      UserError: naming an image that is too small for the network, a pair whose
        sizes differ, or what cannot be read.
    """
    sizes = self._sizes()
    to = self.preprocessing
    for i, (height, width) in enumerate(sizes.tolist()):
      for ratio in self.ratios:
        if reason := to.complaint(height, width, ratio):
          raise errors.UserError(f"{self.split.describe(i)}: {reason}.")
    seen = [
      [to.network_size(height, width, ratio) for ratio in self.ratios]
      for height, width in sizes.tolist()
    ]
    return eval_plan.plan(
      sizes, np.array(seen), self.batch_size * self.process_count
    )

  def __iter__(self) -> Iterator[Batch]:
    left = (self.indices != NOTHING).sum(1)
    place = {
      int(index): (number, row)
      for (number, row), index in np.ndenumerate(self.indices)
      if index != NOTHING
    }
    batches: dict[int, Batch] = {}
    examples = self._examples()
    for due, planned in enumerate(self.plan):
      while left[due]:
        example = next(examples)
        number, row = place[int(example["index"])]
        if number not in batches:
          batches[number] = self._empty(self.plan[number])
        _put(example, batches[number], row)
        left[number] -= 1
      batch = batches.pop(due, None) or self._empty(planned)
      if len(self.ratios) == 1:
        (batch["image"],) = batch["image"]
      yield batch

  def _empty(self, planned: Planned) -> Batch:
    size, (H, W) = self.batch_size, planned.label_shape
    return {
      "image": tuple(
        np.zeros((size, *shape, 3), np.uint8) for shape in planned.image_shapes
      ),
      "label": np.full((size, H, W), VOID, np.uint8),
      "size": np.full((size, 2), (H, W), np.int32),
      "mask": np.zeros(size, bool),
    }

  def _sizes(self) -> np.ndarray:
    """Returns the size of every image of the split, int64 [N, 2].

    Files are read whole only where their first bytes do not tell.

    Raises:
      UserError: naming a pair whose sizes differ, or that cannot be read.
    """
    exif_rotation = self.preprocessing.exif_rotation

    def look(image, mask):
      size = reading.size(image, exif_rotation=exif_rotation)
      reason = pair_check.mismatch(
        size, reading.size(mask), image, exif_rotation=exif_rotation
      )
      if reason:
        raise errors.UserError(reason)
      return np.array(size, np.int64)

    def look_at_heads(image, mask):
      size, other = map(reading.size_in_head, (image, mask))
      certain = size is not None and size == other
      return np.array(size if certain else (0, 0), np.int64)

    def told(function, handle, head):
      found = tf.numpy_function(
        function, self._pair(handle, head), tf.int64, stateful=False
      )
      return tf.ensure_shape(found, [2])

    def size(index, handle):
      del index
      if exif_rotation:  # EXIF data of a PNG may lie at its end.
        return {"size": told(look, handle, None)}
      found = told(look_at_heads, handle, _HEAD_BYTES)
      whole = functools.partial(told, look, handle, None)
      return {"size": tf.cond(found[0] > 0, lambda: found, whole)}

    sizes = self._read(lambda: self.split.sequence(0, self.split.size), size)
    return np.stack([example["size"] for example in sizes])

  def _examples(self) -> Iterator[dict[str, Any]]:
    """Reads this process's examples: of record files in their order."""
    mine = self.indices[self.indices != NOTHING]
    is_mine = np.isin(np.arange(self.split.size), mine)

    def order():
      if isinstance(self.split, IndexedSplit):
        indices = tf.data.Dataset.from_tensor_slices(mine)
        return indices.map(lambda index: (index, index))
      chosen = tf.constant(is_mine)
      whole = self.split.sequence(0, self.split.size)
      return whole.filter(lambda index, _: chosen[index])

    return self._read(order, self._example)

  def _example(self, index: Any, handle: Any) -> dict[str, Any]:
    """Returns an example as a batch has it; runs in a graph."""
    numbering = self.split.mask_numbering
    assert numbering is not None
    table, to = numbering.table(), self.preprocessing

    def finish(image, mask):
      if image.shape[:2] != mask.shape or numbering.complaint(mask):
        raise errors.UserError("the mask is damaged")  # `pair_check` says how.
      images = [resize_whole(image, to, ratio) for ratio in self.ratios]
      return *images, table[mask].astype(np.uint8)

    image, mask = self._pair(handle)
    image = decode.decode(image, exif_rotation=to.exif_rotation)
    mask = masks.decode(mask)
    kinds = (tf.uint8,) * (len(self.ratios) + 1)
    *images, label = tf.numpy_function(
      finish, [image, mask], kinds, stateful=False
    )
    return {"image": tuple(images), "label": label, "index": index}

  def _pair(self, handle: Any, head: int | None = None) -> list[Any]:
    """Returns an image and its mask, encoded; runs in a graph.

    Args:
      handle: of the example.
      head: bytes that are enough of each; None for all.
    """
    image, parts = fetch_parts(self.split, handle, head=head)
    if self.split.has_labels:
      return [image, parts["label"]]
    exif_rotation = self.preprocessing.exif_rotation
    return [image, masks.void_of(image, exif_rotation=exif_rotation)]

  def _read(
    self,
    order: Callable[[], Any],
    example: Callable[..., dict[str, Any]],
  ) -> Iterator[dict[str, Any]]:
    """Reads examples one by one, ahead of time; names what cannot be read."""
    numbering = self.split.mask_numbering
    assert numbering is not None
    examine = None
    if self.split.has_labels:
      examine = pair_check.examiner(
        numbering, exif_rotation=self.preprocessing.exif_rotation
      )
    example = tf.autograph.experimental.do_not_convert(example)
    made = order().map(
      example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return readable.batches(
      grouping.ahead(made),
      lambda done: order().skip(done),
      self.split,
      1,
      remedy=_REMEDY,
      examine=examine,
    )


def _put(example: dict[str, Any], batch: Batch, row: int) -> None:
  H, W = example["label"].shape
  for images, image in zip(batch["image"], example["image"], strict=True):
    images[row] = image
  batch["label"][row, :H, :W] = example["label"]
  batch["size"][row] = H, W
  batch["mask"][row] = True
