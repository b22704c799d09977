"""A model's answers among some of its classes, as ImageNet-A and -R ask."""

import jax
import jax.numpy as jnp
import numpy as np

from van_jax import errors


def restrict(
  logits: jax.Array, labels: jax.Array, classes: np.ndarray
) -> tuple[jax.Array, jax.Array]:
  """Returns the logits of some classes, and the labels' places among these.

  The other classes' logits have no influence: they are left out, not ranked
  last.

  Args:
    logits: [B, K].
    labels: [B], integers in [0, K), or -1 for an example that has no class.
    classes: [S], rising integers in [0, K).

  Returns:
    [B, S] logits and [B] int32 labels in [0, S); S for a label that is not
    among the classes, which no answer meets; -1 where it was -1.
  """
  if not (np.diff(classes) > 0).all():
    raise errors.UserError(f"classes={classes} must rise; sort them.")
  place = jnp.searchsorted(jnp.asarray(classes), labels)
  found = jnp.asarray(classes)[jnp.minimum(place, len(classes) - 1)] == labels
  place = jnp.where(found, place, len(classes))
  return logits[:, classes], jnp.where(labels == -1, -1, place)
