"""Images through compiled loops, several a call.

A call enters Python and takes its lock, if only to hand over arrays: with four
images a call two cores prepare a tenth more of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from van_jax.data.tensorflow import tf

_MOST = 4

# From an element to decoded pixels, uint8 [H, W, 3], numbers, and what else
# the batch has of it, by name.
Example = Callable[..., tuple[Any, Any, dict[str, Any]]]
# From the pixels and the numbers to the image, uint8 [S, S, 3].
Finish = Callable[[np.ndarray, np.ndarray], np.ndarray]


def map_batches(
  dataset: Any,
  example: Example,
  finish: Finish,
  *,
  image_size: int,
  batch_size: int,
) -> Any:
  """Maps the elements of a dataset, and batches them.

  A batch is made of whole groups, so that the one before a damaged image does
  not fail with it.

  Args:
    dataset: a tf.data.Dataset; `batch_size` divides its number of elements.
    example: runs in a graph.
    finish: runs in Python, for several elements a call.
    image_size: pixels, S.
    batch_size: elements a batch, B.

  Returns:
    The tf.data.Dataset of "image", uint8 [B, S, S, 3], and of the rest of
    `example`.
  """
  group = max(n for n in range(1, _MOST + 1) if batch_size % n == 0)
  example = tf.function(example, autograph=False)  # Traced once a group.

  @tf.autograph.experimental.do_not_convert  # It hides a UserError in its own.
  def several(*elements):
    one_by_one = zip(*(tf.unstack(e, group) for e in elements), strict=True)
    made = [example(*element) for element in one_by_one]
    pixels, numbers, rest = zip(*made, strict=True)
    images = finished(pixels, numbers, finish, image_size)
    names = rest[0]
    return {"image": images} | {
      name: tf.stack([values[name] for values in rest]) for name in names
    }

  def merged(groups):
    return {
      name: tf.reshape(x, [batch_size, *x.shape[2:]])
      for name, x in groups.items()
    }

  grouped = dataset.batch(group, drop_remainder=True).map(
    several, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
  )
  return grouped.batch(batch_size // group, drop_remainder=True).map(merged)


def ahead(batches: Any) -> Any:
  """Returns the dataset whose batches are made before they are asked for."""
  options = tf.data.Options()
  # Examples are enough to keep all cores busy.
  options.threading.max_intra_op_parallelism = 1
  # Not AUTOTUNE: a batch can have 150 MB.
  return batches.prefetch(2).with_options(options)


def finished(pixels: Any, numbers: Any, finish: Finish, image_size: int) -> Any:
  """Finishes images in one call of Python: uint8 [N, S, S, 3].

  Args:
    pixels: N tensors, uint8 [H, W, 3].
    numbers: N tensors of one shape.
    finish: see `map_batches`, as is `image_size`.
    image_size: pixels, S.
  """
  images = tf.numpy_function(
    functools.partial(_finish, finish),
    [tf.stack(numbers), *pixels],
    tf.uint8,
    stateful=False,
  )
  shape = [len(pixels), image_size, image_size, 3]
  return tf.ensure_shape(images, shape)


def _finish(
  finish: Finish, numbers: np.ndarray, *pixels: np.ndarray
) -> np.ndarray:
  return np.stack(
    [finish(one, own) for one, own in zip(pixels, numbers, strict=True)]
  )
