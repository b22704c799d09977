"""Label smoothing: soft targets of integer labels."""

import jax
import jax.numpy as jnp

from van_jax import errors


def smooth_one_hot(
  labels: jax.Array, num_classes: int, smoothing: float
) -> jax.Array:
  """Returns smoothed one-hot rows, [B, K] float32.

  The smoothing mass goes to all K classes, the right one too (as in timm):
  smoothing / K off the label, 1 - smoothing + smoothing / K on it. The
  cross-entropy of these rows equals timm's LabelSmoothingCrossEntropy, and
  they are the rows of its BinaryCrossEntropy.

  Args:
    labels: [B], integers in [0, K).
    num_classes: K.
    smoothing: in [0, 1); 0 gives plain one-hot rows.
  """
  if not 0 <= smoothing < 1:
    raise errors.UserError(
      f"label_smoothing={smoothing} must be in [0, 1); 0 turns it off and "
      "the official recipe uses 0.1."
    )
  off = smoothing / num_classes
  on = 1 - smoothing + off
  is_label = jax.nn.one_hot(labels, num_classes, dtype=jnp.bool)  # [B, K]
  return jnp.where(is_label, jnp.float32(on), jnp.float32(off))
