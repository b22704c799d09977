"""Classification's accuracy and loss: sums over real examples, and scores.

Ties: of equal logits the class with the lower index ranks first, as in
argmax. A model whose logits are all equal thus scores as one that always
answers class 0 (top-5: classes 0 to 4), not 100 %. A row with a NaN among its
logits is wrong for top-1 and top-5, and makes the loss NaN.

Labels: -1 means that an example has no class. It is not counted: its answers
are neither right nor wrong, and it has no loss. Any other label outside of
[0, K) is a mistake in the data, which no score may hide: it is wrong for top-1
and top-5, makes the loss NaN, and belongs to no class.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from van_jax import errors

NO_CLASS = -1  # The label of an example that has none.


def batch_sums(
  logits: jax.Array, labels: jax.Array, mask: jax.Array, num_classes: int
) -> dict[str, jax.Array]:
  """Returns sums over a batch's real examples that have a class.

  Args:
    logits: [B, K].
    labels: [B], integers in [0, K), or -1 for an example that has no class;
      any value where the mask is false.
    mask: [B], true for real examples, false for padding.
    num_classes: K.

  Returns:
    "top1", "top5", "count": [] int32 (top5 is of min(5, K) classes); "loss":
    [] float32, summed cross-entropy; "class_right" and "class_count": [K]
    int32, top-1 answers that are right and examples, by true class.
  """
  if logits.ndim != 2 or logits.shape[1] != num_classes:
    raise errors.UserError(
      f"logits {logits.shape} must be [B, {num_classes}]; the model and the "
      "data must agree on num_classes."
    )
  mask = mask.astype(jnp.bool) & (labels != NO_CLASS)
  logits = logits.astype(jnp.float32)
  rank = label_rank(logits, labels)
  top1 = mask & (rank < 1)
  losses = _cross_entropy(logits, labels)
  # Out of range is dropped; a negative index would count from the end.
  places = jnp.where(labels < 0, num_classes, labels)
  by_class = jnp.zeros(num_classes, jnp.int32).at[places]
  return {
    "top1": jnp.sum(top1, dtype=jnp.int32),
    "top5": jnp.sum(mask & (rank < min(5, num_classes)), dtype=jnp.int32),
    # Not a product with the mask: padding may be NaN.
    "loss": jnp.sum(jnp.where(mask, losses, 0)),
    "count": jnp.sum(mask, dtype=jnp.int32),
    "class_right": by_class.add(top1.astype(jnp.int32), mode="drop"),
    "class_count": by_class.add(mask.astype(jnp.int32), mode="drop"),
  }


def label_rank(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns how many classes rank before the label, [B] int32.

  Rows with a NaN, and labels outside of [0, K), rank last: K.

  Args:
    logits: [B, K].
    labels: [B], integers.
  """
  classes = jnp.arange(logits.shape[1])[None, :]  # [1, K]
  own = _label_logits(logits, labels)[:, None]  # [B, 1]
  before = (logits > own) | ((logits == own) & (classes < labels[:, None]))
  bad = jnp.isnan(logits).any(axis=1) | jnp.isnan(own[:, 0])
  return jnp.where(bad, logits.shape[1], jnp.sum(before, axis=1))


def any_label_sums(
  logits: jax.Array, labels: jax.Array, mask: jax.Array
) -> dict[str, jax.Array]:
  """Returns sums over the real examples of a batch that have a label.

  An answer is right if it is among the image's labels (top-5: if one of the
  five is). Images without any label are not counted.

  Args:
    logits: [B, K].
    labels: [B, L], integers in [0, K); -1 where there is none.
    mask: [B], true for real examples, false for padding.

  Returns:
    "top1", "top5" (of min(5, K) classes) and "count": [] int32.
  """
  logits = logits.astype(jnp.float32)
  num_classes = logits.shape[1]
  # A label of -1 ranks last, as label_rank says.
  ranks = jax.vmap(label_rank, in_axes=(None, 1))(logits, labels)
  best = jnp.min(ranks, axis=0)  # [B]
  counted = mask.astype(jnp.bool) & (labels >= 0).any(axis=1)
  return {
    "top1": jnp.sum(counted & (best < 1), dtype=jnp.int32),
    "top5": jnp.sum(counted & (best < min(5, num_classes)), dtype=jnp.int32),
    "count": jnp.sum(counted, dtype=jnp.int32),
  }


def scores(totals: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Returns the scores as plain Python values that JSON can hold.

  Args:
    totals: sums over all batches (or a single one). Loss and the sums by class
      may be absent; what is made of them is then absent too.

  Returns:
    "top1", "top5": fractions in [0, 1]; "loss": mean over examples; "count":
    examples; "per_class_accuracy": a list by class, None for classes without
    examples; "mean_per_class_accuracy": over the other classes; "classes":
    how many those are, "200 of 1000", where they are not all.
  """
  count = int(totals["count"])
  if count == 0:
    raise errors.UserError(
      "count=0 examples were evaluated and must be 1 or more; the split is "
      "empty, or none of its examples has a class: check its name and folder."
    )
  result = {
    "top1": int(totals["top1"]) / count,
    "top5": int(totals["top5"]) / count,
  }
  if "loss" in totals:
    result["loss"] = float(totals["loss"]) / count
  return result | {"count": count} | _by_class(totals)


def _by_class(totals: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Returns the accuracy of each class and their mean, if there are sums."""
  if "class_count" not in totals:
    return {}
  class_count = [int(n) for n in totals["class_count"]]
  class_right = [int(n) for n in totals["class_right"]]
  per_class = [
    right / n if n else None
    for right, n in zip(class_right, class_count, strict=True)
  ]
  seen = [accuracy for accuracy in per_class if accuracy is not None]
  # Without any, all labels were mistakes.
  mean = sum(seen) / len(seen) if seen else None
  by_class = {"mean_per_class_accuracy": mean, "per_class_accuracy": per_class}
  if len(seen) == len(per_class):
    return by_class
  return {"classes": f"{len(seen)} of {len(per_class)}"} | by_class


def _cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns the cross-entropy of each example, [B]."""
  own = _label_logits(logits, labels)
  return jax.nn.logsumexp(logits, axis=1) - own


def _label_logits(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns each row's logit of its label, [B]; NaN outside of [0, K)."""
  inside = (labels >= 0) & (labels < logits.shape[1])
  index = jnp.where(inside, labels, 0)[:, None]
  own = jnp.take_along_axis(logits, index, axis=1)[:, 0]
  return jnp.where(inside, own, jnp.nan)
