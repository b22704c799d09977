"""What a segmenter answered, mask by mask, handed on as batches come.

Unlike the answers of `answers.py` they are never held together: those to a
batch are all that there is at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from van_jax.ops import pixels

NO_CLASS = 255  # In a mask: where the logits have a NaN.
_KEY = "masks"  # Beside the sums of a batch.
_THREADS = 16  # Compressing, or waiting for a remote storage.


def numbered(
  batches: Iterable[Mapping[str, np.ndarray]], indices: Iterable[np.ndarray]
) -> Iterator[dict[str, np.ndarray]]:
  """Yields batches with "index", the number of each example in its split.

  Args:
    batches: of one process.
    indices: whole numbers [B] of each batch's examples.
  """
  for batch, index in zip(batches, indices, strict=True):
    yield {**batch, "index": index.astype(np.int32)}


def beside(sums: Callable[..., dict[str, Any]]) -> Callable[..., Any]:
  """Returns `(outputs, batch) -> sums` that a `Collector` takes masks from.

  Args:
    sums: `(outputs, batch) -> sums` of a task of dense outputs: logits
      [B, h, w, K], or views; see `tasks.segmentation`.
  """

  def with_masks(outputs, batch):
    return {**sums(outputs, batch), _KEY: _masks(outputs, batch)}

  return with_masks


class Collector:
  """Takes the masks out of the sums of batches, and hands them on.

  Every process has the masks of all, and hands on those of its turn: of
  processes p of P the images p, p + P, p + 2 P, ... of the split.
  """

  def __init__(self, write: Callable[[int, np.ndarray], None]) -> None:
    """Makes one that calls `write`, in threads, with each image's mask.

    Args:
      write: `(number of the image, uint8 [H, W])`; see `NO_CLASS`.
    """
    self._write = write
    self._pending: Mapping[str, jax.Array] | None = None

  def watch(self, eval_step: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a step that hands masks on, and gives the sums alone."""

    def step(variables, batch):
      sums = dict(eval_step(variables, batch))
      self.finish()  # One batch late, so that the device never idles.
      self._pending = sums.pop(_KEY)
      return sums

    return step

  def finish(self) -> None:
    """Hands on the masks of the last batch; an error of writing is raised."""
    if self._pending is None:
      return
    batch = {name: np.asarray(value) for name, value in self._pending.items()}
    self._pending = None
    turn, turns = jax.process_index(), jax.process_count()
    mine = np.flatnonzero(batch["mask"] & (batch["index"] % turns == turn))

    def write(row):
      height, width = batch["size"][row]
      mask = batch["classes"][row, :height, :width]
      self._write(int(batch["index"][row]), mask)

    with futures.ThreadPoolExecutor(_THREADS) as pool:
      list(pool.map(write, mine.tolist()))


def _masks(outputs: Any, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
  """Returns each pixel's class, and what tells the images apart."""
  views = outputs
  if not isinstance(outputs, Sequence):
    image = batch["image"]
    views = [pixels.View(outputs, (image.shape[1], image.shape[2]))]
  height, width = batch["label"].shape[1:]
  classes = pixels.class_map(views, (height, width), batch["size"])
  none = classes == views[0].logits.shape[-1]
  return {
    "index": batch["index"],
    "mask": batch["mask"],
    "size": batch["size"],
    "classes": jnp.where(none, NO_CLASS, classes).astype(jnp.uint8),
  }
