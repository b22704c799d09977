"""Classification: one class an image, of K."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from van_jax.data.images import normalization
from van_jax.tasks import accuracy
from van_jax.tasks.task import Batch, Task


def create(
  *,
  num_classes: int,
  mean: Sequence[float],
  std: Sequence[float],
  mixing: Callable[..., tuple[jax.Array, jax.Array]],
  erasing: Callable[[jax.Array, jax.Array], jax.Array],
  loss: Callable[[jax.Array, jax.Array], jax.Array],
) -> Task:
  """Returns the task; training mixes, normalises, then erases, as timm.

  Args:
    num_classes: K, of model and data.
    mean: of the normalisation, of [0, 1] pixels.
    std: of the same.
    mixing: `(key, images uint8 [B, H, W, 3], labels [B], num_classes=K) ->
      (images uint8, soft targets [B, K])`.
    erasing: `(key, images float) -> images`; draws of its own from the same
      key.
    loss: `(logits [B, K], targets [B, K]) -> []`.
  """
  normalize = functools.partial(normalization.normalize, mean=mean, std=std)

  def prepare(key: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
    images, targets = mixing(
      key, batch["image"], batch["label"], num_classes=num_classes
    )
    return erasing(key, normalize(images)), targets

  def loss_and_metrics(
    logits: jax.Array, targets: jax.Array
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns the loss, and top-1 against the largest target, in [0, 1]."""
    right = jnp.argmax(logits, -1) == jnp.argmax(targets, -1)
    top1 = jnp.mean(right, dtype=jnp.float32)
    return loss(logits, targets), {"top1": top1}

  def sums(logits: jax.Array, batch: Batch) -> dict[str, Any]:
    return accuracy.batch_sums(
      logits, batch["label"], batch["mask"], num_classes
    )

  return Task(
    prepare=prepare,
    loss=loss_and_metrics,
    inputs=lambda batch: normalize(batch["image"]),
    sums=sums,
    scores=accuracy.scores,
    best="top1",
    classes=num_classes,
  )
