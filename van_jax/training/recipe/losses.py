"""Cross-entropy with soft targets, and label smoothing."""

import jax
import jax.numpy as jnp


def soft_cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
  """Returns the mean over the batch of -sum_k targets_k log softmax_k, [].

  Computed in float32 whatever the dtypes of its arguments.

  Args:
    logits: [B, K], unnormalised.
    targets: [B, K], rows sum to 1; soft after smoothing or mixing.
  """
  if logits.shape != targets.shape or logits.ndim != 2:
    raise ValueError(
      f"logits {logits.shape} and targets {targets.shape} must both be "
      "[B, K]; turn integer labels into rows with smooth_one_hot."
    )
  log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
  losses = -jnp.sum(targets.astype(jnp.float32) * log_probabilities, axis=-1)
  return jnp.mean(losses)


def smooth_one_hot(
  labels: jax.Array, num_classes: int, smoothing: float
) -> jax.Array:
  """Returns smoothed one-hot rows, [B, K] float32.

  The smoothing mass goes to all K classes, the right one too (as in timm):
  smoothing / K off the label, 1 - smoothing + smoothing / K on it. The loss
  of these rows equals timm's LabelSmoothingCrossEntropy.

  Args:
    labels: [B], integers in [0, K).
    num_classes: K.
    smoothing: in [0, 1); 0 gives plain one-hot rows.
  """
  if not 0 <= smoothing < 1:
    raise ValueError(
      f"label_smoothing={smoothing} must be in [0, 1); 0 turns it off and "
      "the official recipe uses 0.1."
    )
  off = smoothing / num_classes
  on = 1 - smoothing + off
  is_label = jax.nn.one_hot(labels, num_classes, dtype=jnp.bool)  # [B, K]
  return jnp.where(is_label, jnp.float32(on), jnp.float32(off))
