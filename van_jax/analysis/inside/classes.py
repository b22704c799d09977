"""Which outputs of a model are a class, and which class is asked for."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from van_jax import errors, models
from van_jax.analysis.inside import probe

PREDICTED = -1  # In place of a class.


def logits(outputs: jax.Array) -> jax.Array:
  """Returns [B, K] float32 of a model's outputs.

  Args:
    outputs: [B, K]; or of a dense head [B, H, W, K], of which a class's logit
      is the mean over positions.

  Raises:
    UserError: if they are neither.
  """
  shape = getattr(outputs, "shape", None)
  if shape is None or len(shape) not in (2, 4):
    raise errors.UserError(
      f"the model gives {shape or type(outputs).__name__}, and must give "
      "logits [B, K] or [B, H, W, K]."
    )
  outputs = outputs.astype(jnp.float32)
  return outputs if outputs.ndim == 2 else jnp.mean(outputs, (1, 2))


def check_head(model: nn.Module) -> None:
  """Raises UserError for a VAN that gives features and no classes."""
  if isinstance(model, models.VAN) and not model.num_classes:
    raise errors.UserError(
      "num_classes=0: the model gives features, not classes; give one with a "
      "head."
    )


def chosen(
  classes: Any,
  model: nn.Module,
  variables: Any,
  images: Any,
  *,
  field: str = "classes",
) -> np.ndarray:
  """Returns a class an image, [B] int32; PREDICTED where none is given.

  Args:
    classes: None for the predicted ones, one for all images, or one an image.
    model: that the classes are of.
    variables: of the model.
    images: [B, H, W, 3].
    field: what the caller calls the classes.

  Raises:
    UserError: for a class that is not there, another number of them, or a model
      that has none.
  """
  check_head(model)
  number = len(images)
  if classes is None:
    return np.full(number, PREDICTED, np.int32)
  given = np.asarray(classes)
  if given.shape not in ((), (number,)) or given.dtype.kind not in "iu":
    raise errors.UserError(
      f"{field}={classes!r} must be one whole number, or one for each of the "
      f"{number} images."
    )
  known = jax.eval_shape(
    lambda v, x: logits(probe.call(model, v, x)), variables, images
  ).shape[1]
  if given.size and not 0 <= given.min() <= given.max() < known:
    raise errors.UserError(
      f"{field}={classes!r} must be from 0 to {known - 1}, the model's last."
    )
  return np.broadcast_to(given, (number,)).astype(np.int32)


def pick(rows: jax.Array, classes: jax.Array) -> jax.Array:
  """Returns each row's value at its class, [B]; the largest for PREDICTED.

  Args:
    rows: [B, K].
    classes: [B] int32.
  """
  best = jnp.argmax(rows, axis=1)
  index = jnp.where(classes == PREDICTED, best, classes)
  return jnp.take_along_axis(rows, index[:, None], axis=1)[:, 0]
