"""Losses of soft targets, by name.

A row of the table is a function `(outputs, targets, **own options) -> loss []`.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from van_jax import errors, imports, signatures

Loss = Callable[[jax.Array, jax.Array], jax.Array]


def create_loss(
  *, name: str = "cross_entropy", options: Mapping[str, Any] | None = None
) -> Loss:
  """Returns `(outputs, targets) -> loss []`.

  Args:
    name: of `LOSSES`, or an import path, "module:function", of a function
      like theirs.
    options: the named one's own; None for its defaults.

  Raises:
    UserError: for an unknown name or option, with the nearest.
  """
  loss = imports.choose(name, LOSSES, "loss.name")
  own = options or {}
  signatures.check(loss, own, "loss.options", given=("outputs", "targets"))
  bound = functools.partial(loss, **own)
  if name in LOSSES:
    # Traced for its errors alone, on shapes: an array would touch the devices.
    rows = jax.ShapeDtypeStruct((2, 2), jnp.float32)
    jax.eval_shape(bound, rows, rows)
  return bound


def check_smoothing(
  options: Mapping[str, Any], *, label_smoothing: float, num_classes: int
) -> None:
  """Raises UserError where smoothing alone makes targets of all classes.

  Args:
    options: the loss's own.
    label_smoothing: of the targets.
    num_classes: K.
  """
  threshold = options.get("target_threshold")
  if (
    threshold is not None and label_smoothing / max(num_classes, 1) > threshold
  ):
    raise errors.UserError(
      f"loss.options.target_threshold={threshold} must be at least what "
      f"mixing.label_smoothing={label_smoothing} gives each of {num_classes} "
      "classes, or every class becomes a target; set label_smoothing to 0, as "
      "DeiT III does."
    )


def soft_cross_entropy(outputs: jax.Array, targets: jax.Array) -> jax.Array:
  """Returns the mean over the batch of -sum_k targets_k log softmax_k, [].

  Computed in float32 whatever the dtypes of its arguments.

  Args:
    outputs: [B, K], logits.
    targets: [B, K], rows sum to 1; soft after smoothing or mixing.
  """
  _check_shapes(outputs, targets)
  log_probabilities = jax.nn.log_softmax(outputs.astype(jnp.float32))
  losses = -jnp.sum(targets.astype(jnp.float32) * log_probabilities, axis=-1)
  return jnp.mean(losses)


def binary_cross_entropy(
  outputs: jax.Array,
  targets: jax.Array,
  *,
  target_threshold: float | None = None,
  sum_classes: bool = False,
) -> jax.Array:
  """Returns the mean of each class's own yes-or-no cross-entropy, [].

  As timm's BinaryCrossEntropy. DeiT III (arXiv 2204.07118) has a threshold of
  0 and no label smoothing: both of an image's mixed classes are wholly there.
  Computed in float32 whatever the dtypes of its arguments.

  Args:
    outputs: [B, K], logits.
    targets: [B, K], in [0, 1]; soft after smoothing or mixing.
    target_threshold: targets above it become 1, the others 0, in [0, 1); None
      leaves them soft.
    sum_classes: sum over classes, then mean over the batch; the mean over both
      is K times smaller.
  """
  _check_shapes(outputs, targets)
  if target_threshold is not None and not 0 <= target_threshold < 1:
    raise errors.UserError(
      f"loss.options.target_threshold={target_threshold} must be in [0, 1); "
      "None leaves targets as they are and DeiT III has 0."
    )
  outputs = outputs.astype(jnp.float32)
  targets = targets.astype(jnp.float32)
  if target_threshold is not None:
    targets = (targets > target_threshold).astype(jnp.float32)
  yes, no = jax.nn.log_sigmoid(outputs), jax.nn.log_sigmoid(-outputs)
  losses = -(targets * yes + (1 - targets) * no)
  return jnp.mean(jnp.sum(losses, axis=-1) if sum_classes else losses)


LOSSES: dict[str, Callable[..., jax.Array]] = {
  "cross_entropy": soft_cross_entropy,
  "binary_cross_entropy": binary_cross_entropy,
}


def _check_shapes(outputs: jax.Array, targets: jax.Array) -> None:
  """Raises UserError unless there is a row of targets an example."""
  if outputs.shape != targets.shape or outputs.ndim != 2:
    raise errors.UserError(
      f"outputs {outputs.shape} and targets {targets.shape} must both be "
      "[B, K]; turn integer labels into rows with smoothing.smooth_one_hot."
    )
