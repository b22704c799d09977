"""Batches for evaluation, as NumPy arrays on the host."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from van_jax import errors
from van_jax.data import arguments
from van_jax.data.images import centre_crop
from van_jax.data.images.dense_preprocessing import DensePreprocessing
from van_jax.data.images.preprocessing import Preprocessing
from van_jax.data.pipeline import grouping, readable
from van_jax.data.pipeline.dense_eval import DenseEvalBatches
from van_jax.data.sources.open import Source
from van_jax.data.sources.split import Split, fetch_parts

Batch = dict[str, np.ndarray]


@overload
def eval_batches(
  source: Source,
  *,
  batch_size: int = 1024,
  preprocessing: DensePreprocessing,
  ratios: Sequence[float] = (1.0,),
  process_index: int = 0,
  process_count: int = 1,
) -> DenseEvalBatches: ...


@overload
def eval_batches(
  source: Source,
  *,
  batch_size: int = 1024,
  preprocessing: Preprocessing | None = None,
  ratios: Sequence[float] = (1.0,),
  process_index: int = 0,
  process_count: int = 1,
) -> EvalBatches: ...


def eval_batches(
  source: Source,
  *,
  batch_size: int = 1024,
  preprocessing: Preprocessing | DensePreprocessing | None = None,
  ratios: Sequence[float] = (1.0,),
  process_index: int = 0,
  process_count: int = 1,
) -> EvalBatches | DenseEvalBatches:
  """Returns the batches of one pass over the evaluation split.

  Every example comes once, in one process. Every process gets the same number
  of batches, filled up with masked zeros.

  Args:
    source: opened with an evaluation split.
    batch_size: examples a step, over all processes.
    preprocessing: what the weights expect, the official ones if None; mean and
      std are NOT applied.
    ratios: of the size that whole images with masks are resized to, each from
      the file: 0.5, 0.75, 1, 1.25, 1.5 and 1.75 are those of published
      multi-scale figures.
    process_index: this process.
    process_count: all processes; divides batch_size.

  Returns:
    An object with a length, to be iterated over any number of times:
    {"image": uint8 [B / process_count, image_size, image_size, 3],
    "mask": bool [B / process_count], "label": int32 [B / process_count]}, or
    what else the source has beside its images. Of images with masks it is a
    `DenseEvalBatches`.
  """
  if source.evaluation is None:
    raise errors.UserError(
      f"source {source.name!r} was opened with eval_split=None; name the "
      f"split to evaluate on."
    )
  arguments.check_processes(batch_size, process_index, process_count)
  to = preprocessing or (
    DensePreprocessing() if source.has_masks else Preprocessing()
  )
  source.check_kind(isinstance(to, DensePreprocessing), type(to).__name__)
  arguments.check_ratios(ratios, "evaluation.ratios")
  if isinstance(to, DensePreprocessing):
    return DenseEvalBatches(
      split=source.evaluation,
      batch_size=batch_size // process_count,
      preprocessing=to,
      ratios=tuple(ratios),
      process_index=process_index,
      process_count=process_count,
    )
  if tuple(ratios) != (1.0,):
    raise errors.UserError(
      f"evaluation.ratios={tuple(ratios)} must be (1.0,) for images without "
      "masks, which are cropped to one size."
    )
  return EvalBatches(
    split=source.evaluation,
    batch_size=batch_size // process_count,
    preprocessing=to,
    process_index=process_index,
    process_count=process_count,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalBatches:
  """One process's batches; made by `eval_batches`."""

  split: Split
  batch_size: int  # Of this process.
  preprocessing: Preprocessing
  process_index: int
  process_count: int

  def __len__(self) -> int:
    return -(-self._examples // self.batch_size)

  @property
  def start(self) -> int:
    """The number, in the split, of this process's first example."""
    return min(self.process_index * self._examples, self.split.size)

  def __iter__(self) -> Iterator[Batch]:
    start = self.start
    stop = min(start + self._examples, self.split.size)

    def example(index, handle):
      del index
      encoded, parts = fetch_parts(self.split, handle)
      part, place = centre_crop.decode_centre(encoded, self.preprocessing)
      return part, place, {**parts, "mask": True}

    def batches(first, last, size):
      return grouping.map_batches(
        self.split.sequence(first, last),
        example,
        functools.partial(centre_crop.crop_centre, to=self.preprocessing),
        image_size=self.preprocessing.image_size,
        batch_size=size,
      )

    left = (stop - start) % self.batch_size
    if 0 < left == stop - start:
      # Building a data set takes a while: none of nothing, before the rest.
      dataset = batches(start, stop, left)
    else:
      dataset = batches(start, stop - left, self.batch_size)
      if left:
        dataset = dataset.concatenate(batches(stop - left, stop, left))
    dataset = grouping.ahead(dataset)
    done = 0
    for batch in readable.batches(
      dataset,
      lambda n: self.split.sequence(start + n * self.batch_size, stop),
      self.split,
      self.batch_size,
      remedy="replace or remove it: data.on_damaged='skip' is for training, "
      "and evaluation counts every image",
    ):
      done += 1
      yield self._filled(batch)
    nothing = {
      name: np.zeros([0, *spec.shape[1:]], spec.dtype.as_numpy_dtype)
      for name, spec in dataset.element_spec.items()
    }
    for _ in range(done, len(self)):
      yield self._filled(nothing)

  @property
  def _examples(self) -> int:
    """Examples of one process, but for the last processes that get fewer."""
    return -(-self.split.size // self.process_count)

  def _filled(self, batch: Batch) -> Batch:
    missing = self.batch_size - len(batch["mask"])
    if not missing:
      return batch
    return {
      name: np.pad(values, [(0, missing)] + [(0, 0)] * (values.ndim - 1))
      for name, values in batch.items()
    }
