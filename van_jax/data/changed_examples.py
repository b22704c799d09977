"""A split's examples in their own order, with their images changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from van_jax.data.pipeline import grouping, readable, skipping
from van_jax.data.sources.split import Split, fetch_parts
from van_jax.data.tensorflow import tf

_BATCH = 64  # Examples that are handed over together.

# From an encoded image to the one that is kept, [] strings in a graph.
Change = Callable[[Any], Any]


def read(
  split: Split, start: int, stop: int, change: Change, damaged: set[int] | None
) -> Iterator[tuple[bytes, int, int]]:
  """Yields (image, label, index) in order; images are made on all cores.

  Args:
    split: that is read.
    start: the first example.
    stop: after the last one.
    change: of each image.
    damaged: where the indices of damaged examples go, which are left out and
      logged; None makes one an error.

  Raises:
    UserError: naming the example that cannot be read.
  """

  @tf.autograph.experimental.do_not_convert  # It hides a UserError in its own.
  def example(index, handle):
    image, parts = fetch_parts(split, handle)
    label = tf.cast(parts["label"], tf.int64)
    return {"image": change(image), "label": label, "index": index}

  made = _mapped if damaged is None else skipping.marked
  batches = readable.batches(
    grouping.ahead(made(split.sequence(start, stop), example).batch(_BATCH)),
    lambda done: split.sequence(start + done * _BATCH, stop),
    split,
    _BATCH,
    remedy="replace it in the data set that is copied, which without it is "
    "another set, or leave out damaged training images by --on_damaged=skip",
  )
  if damaged is not None:
    batches = skipping.left_out(batches, split, damaged)
  for batch in batches:
    columns = (batch["image"], batch["label"], batch["index"])
    yield from zip(*columns, strict=True)


def _mapped(examples: Any, make: Callable[..., dict[str, Any]]) -> Any:
  return examples.map(
    make, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
  )
