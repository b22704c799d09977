"""The confusion matrix of pixels, and the scores that it gives.

Scores are mmsegmentation's: of class k, IoU is its pixels that are answered
right over those that are k's, are answered k, or both; accuracy is over those
that are k's. Means are over the classes for which they are defined: a class
that is answered and never there has an IoU, 0, and no accuracy. Counts are
summed over all images first.

No score hides a mistake. A pixel whose logits have a NaN is wrong, though no
class is its answer. Labels that are neither a class nor void are refused.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from van_jax import errors

VOID = 255  # The label of a pixel that has no class, and is not counted.
_CHUNK = 1 << 14  # Pixels of an image in one product.


def batch_sums(
  predicted: jax.Array, labels: jax.Array, num_classes: int
) -> dict[str, jax.Array]:
  """Returns counts of a batch's pixels that are not void, int32.

  Args:
    predicted: int32 [B, H, W], in [0, K); K where there is no answer.
    labels: int32 [B, H, W], in [0, K), or VOID.
    num_classes: K.

  Returns:
    "confusion": [K, K], true classes down, answers across; "unanswered": [K],
    by true class; "pixels": [], all of these; "beyond": [], pixels whose label
    is no class, and not VOID.
  """
  outside = (labels < 0) | (labels >= num_classes)
  pixels = (labels.reshape(len(labels), -1), predicted.reshape(len(labels), -1))
  counts = lax.platform_dependent(
    *pixels,
    default=functools.partial(count_by_adding, num_classes=num_classes),
    tpu=functools.partial(count_by_products, num_classes=num_classes),
  )
  return {
    "confusion": counts[:, :num_classes],
    "unanswered": counts[:, num_classes],
    "pixels": jnp.sum(counts),
    "beyond": jnp.sum(outside & (labels != VOID), dtype=jnp.int32),
  }


def count_by_adding(
  true: jax.Array, predicted: jax.Array, *, num_classes: int
) -> jax.Array:
  """Returns how often t was answered by p, int32 [K, K + 1], pixel by pixel.

  Args:
    true: [B, P]; outside of [0, K) it is not counted.
    predicted: [B, P], in [0, K].
    num_classes: K.
  """
  answers = num_classes + 1
  size = num_classes * answers
  inside = (true >= 0) & (true < num_classes)
  place = jnp.where(inside, true * answers + predicted, size)

  def of_image(place):  # By image: a device counts its own, and none is sent.
    return jnp.zeros(size, jnp.int32).at[place].add(1, mode="drop")

  counts = jnp.sum(jax.vmap(of_image)(place), axis=0)
  return counts.reshape(num_classes, answers)


def count_by_products(
  true: jax.Array, predicted: jax.Array, *, num_classes: int
) -> jax.Array:
  """Returns `count_by_adding`, by products of one-hot rows: TPUs add slowly.

  Args:
    true: [B, P].
    predicted: [B, P].
    num_classes: K.
  """
  chunks = -(-true.shape[1] // _CHUNK)

  def cut(x):  # [B, P] -> [chunks, B, P / chunks]
    short = -x.shape[1] % chunks
    x = jnp.pad(x, [(0, 0), (0, short)], constant_values=-1)
    return jnp.moveaxis(x.reshape(len(x), chunks, -1), 1, 0)

  def add(counts, chunk):
    rows = jax.nn.one_hot(chunk[0], num_classes, dtype=jnp.bfloat16)
    columns = jax.nn.one_hot(chunk[1], num_classes + 1, dtype=jnp.bfloat16)
    # Exact: ones and zeros, fewer than 2**24 of them in float32.
    part = jnp.einsum(
      "bpi,bpj->bij", rows, columns, preferred_element_type=jnp.float32
    )
    return counts + part.astype(jnp.int32), None

  start = jnp.zeros((len(true), num_classes, num_classes + 1), jnp.int32)
  counts, _ = lax.scan(add, start, (cut(true), cut(predicted)))
  return jnp.sum(counts, axis=0)


def scores(totals: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Returns the scores as plain Python values that JSON can hold.

  Args:
    totals: of `batch_sums`, and "loss", summed over pixels, and "count",
      images, over all batches.

  Returns:
    "mIoU", "mAcc", "aAcc": fractions in [0, 1]; "loss": mean over pixels;
    "pixels" and "count": pixels and images; "classes": how many have pixels,
    "9 of 11", where they are not all; "per_class_IoU" and
    "per_class_accuracy": lists by class, None where they are not defined.

  Raises:
    UserError: where a label is no class, or no pixel has one.
  """
  confusion = np.asarray(totals["confusion"], np.int64)
  _check(totals, len(confusion))
  right = confusion.diagonal()
  true = confusion.sum(axis=1) + totals["unanswered"]
  either = true + confusion.sum(axis=0) - right
  iou, accuracy = _fractions(right, either), _fractions(right, true)
  pixels, seen = int(totals["pixels"]), int(np.count_nonzero(true))
  result = {
    "mIoU": _mean(iou),
    "mAcc": _mean(accuracy),
    "aAcc": int(right.sum()) / pixels,
    "loss": float(totals["loss"]) / pixels,
    "pixels": pixels,
    "count": int(totals["count"]),
  }
  if seen < len(true):
    result["classes"] = f"{seen} of {len(true)}"
  return result | {"per_class_IoU": iou, "per_class_accuracy": accuracy}


def _check(totals: Mapping[str, np.ndarray], num_classes: int) -> None:
  beyond, pixels = int(totals["beyond"]), int(totals["pixels"])
  if beyond:
    raise errors.UserError(
      f"label has {beyond:,} pixels, beside {pixels:,} others, whose number is "
      f"neither below num_classes={num_classes} nor {VOID}, which is void; "
      "correct num_classes or the masks: where their 0 stands for no class, "
      "all others are one too high."
    )
  if not pixels:
    raise errors.UserError(
      f"pixels=0 have a class and must be 1 or more: the split is empty, or "
      f"all its pixels are {VOID}, void; check its name and its masks."
    )


def _fractions(some: np.ndarray, of: np.ndarray) -> list[float | None]:
  pairs = zip(some.tolist(), of.tolist(), strict=True)
  return [part / whole if whole else None for part, whole in pairs]


def _mean(fractions: list[float | None]) -> float:
  defined = [fraction for fraction in fractions if fraction is not None]
  return sum(defined) / len(defined)
