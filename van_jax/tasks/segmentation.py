"""Semantic segmentation: one class a pixel, of K."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from van_jax import errors
from van_jax.data.images import normalization
from van_jax.ops import pixels
from van_jax.tasks import confusion, pixel_losses
from van_jax.tasks.confusion import VOID
from van_jax.tasks.task import Batch, Task


def create(
  *,
  num_classes: int,
  mean: Sequence[float],
  std: Sequence[float],
  auxiliary_weight: float = 0.4,
  class_weights: Sequence[float] | None = None,
  ohem_min_kept: int | None = None,
  ohem_threshold: float | None = 0.7,
) -> Task:
  """Returns the task; the loss is mmsegmentation's, at the labels' size.

  In training a batch's labels are uint8 [B, H, W], 255 where a pixel is not
  counted, and the model's outputs float [B, h, w, K], or a mapping of such:
  "logits", and "auxiliary" of an auxiliary head. The loss is the cross-entropy
  summed over the pixels that have a class, divided by the number of all
  pixels, void ones too; see `pixel_losses`.

  In evaluation a batch also has mask [B], and size int32 [B, 2], each label's
  own (height, width); it lies at the top left of [H, W], with 255 beyond.
  There outputs may also be `ops.pixels.View`s, of which `evaluation.views`
  makes several, and image a tuple, with one [B, H', W', 3] for each.

  Args:
    num_classes: K, of model and data.
    mean: of the normalisation, of [0, 1] pixels.
    std: of the same.
    auxiliary_weight: of the auxiliary head's loss, beside 1.
    class_weights: K factors of the pixels' losses, by true class, of both
      heads; None for 1.
    ohem_min_kept: the least pixels an image that the loss is of, the hard ones
      (100,000 in mmsegmentation); None for all. Of the main head alone.
    ohem_threshold: pixels whose class has a lower probability are hard; None
      for as few as may be.

  Raises:
    UserError: for a value that is out of range, or weights that are not K.
  """
  _check(num_classes, auxiliary_weight, class_weights)
  _check_ohem(ohem_min_kept, ohem_threshold)
  normalize = functools.partial(normalization.normalize, mean=mean, std=std)
  hard = None
  if ohem_min_kept is not None:
    hard = functools.partial(
      pixel_losses.hard_pixels, min_kept=ohem_min_kept, threshold=ohem_threshold
    )
  return Task(
    prepare=lambda key, batch: (normalize(batch["image"]), batch["label"]),
    loss=functools.partial(
      loss_and_metrics,
      num_classes=num_classes,
      auxiliary_weight=auxiliary_weight,
      class_weights=class_weights,
      hard=hard,
    ),
    inputs=lambda batch: jax.tree.map(normalize, batch["image"]),
    sums=functools.partial(batch_sums, num_classes=num_classes),
    scores=confusion.scores,
    best="mIoU",
    classes=num_classes,
  )


def loss_and_metrics(
  outputs: Any,
  labels: jax.Array,
  *,
  num_classes: int,
  auxiliary_weight: float,
  class_weights: Sequence[float] | None,
  hard: Callable[..., jax.Array] | None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the loss, [], and scalars to log beside it.

  Args:
    outputs: of the model in training; see `create`.
    labels: [B, H, W].
    num_classes: K.
    auxiliary_weight: see `create`.
    class_weights: see `create`.
    hard: `(losses, weighted losses, labels) -> factors`, all [B, H, W]; see
      `pixel_losses.hard_pixels`. None for 1.

  Returns:
    the loss; "pixel_accuracy": of the pixels that have a class;
    "auxiliary_loss": before its weight, where there is such a head.
  """
  labels = _as_masks(labels)
  heads = outputs if isinstance(outputs, Mapping) else {"logits": outputs}

  def of_head(name, function):
    _check_outputs(heads[name], num_classes)
    view = pixels.View(heads[name], _size(labels))
    return pixels.map_pixels(function, [view], _size(labels), labels)

  plain, answers = of_head("logits", _loss_and_answer)
  losses = pixel_losses.weighted(plain, labels, class_weights)
  if hard is not None:
    losses *= hard(plain, losses, labels)
  loss = jnp.sum(losses) / labels.size
  labelled = jnp.maximum(jnp.sum(labels != VOID), 1)
  metrics = {"pixel_accuracy": jnp.sum(answers == labels) / labelled}
  if "auxiliary" in heads:
    losses = of_head("auxiliary", pixel_losses.cross_entropy)
    losses = pixel_losses.weighted(losses, labels, class_weights)
    metrics["auxiliary_loss"] = jnp.sum(losses) / labels.size
    loss += auxiliary_weight * metrics["auxiliary_loss"]
  return loss, metrics


def batch_sums(
  outputs: Any, batch: Batch, *, num_classes: int
) -> dict[str, jax.Array]:
  """Returns sums over the pixels of a batch's real images.

  Args:
    outputs: of the model in evaluation, or views; see `create`.
    batch: of evaluation; see `create`.
    num_classes: K.

  Returns:
    those of `confusion.batch_sums`; "loss": float32 [], the cross-entropy
    summed over pixels; "count": int32 [], images.
  """
  labels = _as_masks(batch["label"])
  labels = jnp.where(batch["mask"][:, None, None], labels, VOID)
  losses, answers = pixels.map_pixels(
    _loss_and_answer,
    _views(outputs, batch, num_classes),
    _size(labels),
    labels,
    sizes=batch["size"],
  )
  return {
    **confusion.batch_sums(answers, labels, num_classes),
    "loss": jnp.sum(losses),
    "count": jnp.sum(batch["mask"], dtype=jnp.int32),
  }


def _loss_and_answer(logits: jax.Array, labels: jax.Array):
  return pixel_losses.cross_entropy(logits, labels), pixels.likeliest(logits)


def _views(outputs: Any, batch: Batch, num_classes: int) -> list[pixels.View]:
  """Returns a model's outputs, or what is made of them, as views."""
  if not isinstance(outputs, Sequence):
    outputs = [pixels.View(outputs, _size(batch["image"]))]
  for view in outputs:
    _check_outputs(view.logits, num_classes)
  return list(outputs)


def _size(x: jax.Array) -> tuple[int, int]:
  """Returns the (height, width) of images or masks."""
  return x.shape[1], x.shape[2]


def _as_masks(labels: jax.Array) -> jax.Array:
  """Returns labels as int32; they must be masks."""
  if labels.ndim != 3:
    raise errors.UserError(
      f"label {labels.shape} must be [B, H, W], a class a pixel, for "
      "task.name='segmentation'; name data with masks, or the task "
      "'classification'."
    )
  return labels.astype(jnp.int32)


def _check_outputs(logits: jax.Array, num_classes: int) -> None:
  if logits.ndim != 4 or logits.shape[-1] != num_classes:
    raise errors.UserError(
      f"logits {logits.shape} must be [B, h, w, {num_classes}] for "
      "task.name='segmentation'; name a model with a segmentation head, and as "
      "many classes as the data."
    )


def _check(
  num_classes: int,
  auxiliary_weight: float,
  class_weights: Sequence[float] | None,
) -> None:
  if not 2 <= num_classes <= VOID:
    raise errors.UserError(
      f"num_classes={num_classes} must be from 2 to {VOID}: labels are bytes, "
      f"and {VOID} is void; merge classes."
    )
  if not 0 <= auxiliary_weight < math.inf:
    raise errors.UserError(
      f"task.options.auxiliary_weight={auxiliary_weight} must be 0 or more; "
      "0.4 is mmsegmentation's."
    )
  weights = [1.0] if class_weights is None else list(class_weights)
  if class_weights is not None and len(weights) != num_classes:
    raise errors.UserError(
      f"task.options.class_weights has {len(weights)} numbers and must have "
      f"num_classes={num_classes}; write one for each class, void not among "
      "them."
    )
  if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
    raise errors.UserError(
      f"task.options.class_weights={weights} must be 0 or more, and not all 0."
    )


def _check_ohem(min_kept: int | None, threshold: float | None) -> None:
  if min_kept is not None and min_kept < 1:
    raise errors.UserError(
      f"task.options.ohem_min_kept={min_kept} must be 1 or more, pixels an "
      "image; None trains on all."
    )
  if threshold is not None and not 0 < threshold <= 1:
    raise errors.UserError(
      f"task.options.ohem_threshold={threshold} must be above 0 and at most 1, "
      "a probability; None for min_kept pixels alone."
    )
