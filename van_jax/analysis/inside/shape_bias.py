"""Whether a model goes by shape or by texture where the two disagree."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from van_jax import errors
from van_jax.analysis.inside import classes as classes_lib, inputs, probe
from van_jax.analysis.inside.cue_conflict import cue_conflicts


class ShapeBias(NamedTuple):
  """Decisions on images whose shape and texture are of different classes.

  Attributes:
    bias: shape / (shape + texture), in [0, 1]; NaN where both are 0.
    shape: decisions for the shape's class.
    texture: decisions for the texture's.
    neither: all others. Where they are most, `bias` rests on few.
  """

  bias: float
  shape: int
  texture: int
  neither: int


def shape_bias(
  predicted: Any, shape_labels: Any, texture_labels: Any
) -> ShapeBias:
  """Returns the bias of decisions (arXiv:1811.12231, Section 2).

  Args:
    predicted: [N], a class for each image.
    shape_labels: [N].
    texture_labels: [N]; nowhere equal to the shape's.

  Raises:
    UserError: if they are not as long, no whole numbers, or some pair is no
      conflict.
  """
  arrays = [np.asarray(x) for x in (predicted, shape_labels, texture_labels)]
  if len({x.shape for x in arrays}) != 1 or arrays[0].ndim != 1:
    raise errors.UserError(
      f"predicted, shape_labels and texture_labels are of {arrays[0].shape}, "
      f"{arrays[1].shape} and {arrays[2].shape}, and must be [N] all three."
    )
  if arrays[0].size and any(x.dtype.kind not in "iu" for x in arrays):
    raise errors.UserError(
      "predicted, shape_labels and texture_labels are of "
      f"{', '.join(str(x.dtype) for x in arrays)}, and must be whole numbers."
    )
  decided, of_shape, of_texture = arrays
  if same := np.flatnonzero(of_shape == of_texture).tolist():
    raise errors.UserError(
      f"image {same[0]} has shape and texture of one class; that is no "
      "conflict, leave it out."
    )
  shape = int(np.sum(decided == of_shape))
  texture = int(np.sum(decided == of_texture))
  either = shape + texture
  bias = shape / either if either else float("nan")
  return ShapeBias(bias, shape, texture, len(decided) - either)


def measure_shape_bias(
  model: nn.Module,
  variables: Any,
  images: Any,
  labels: Any,
  *,
  seed: int = 0,
  count: int | None = None,
  batch_size: int = 32,
) -> ShapeBias:
  """Returns a model's bias on conflicts made of given photographs.

  See `cue_conflict.cue_conflicts` for how they are made, and for what its
  numbers cannot be compared with. A model that is wrong on the photographs
  themselves says little: look at its accuracy first.

  Args:
    model: gives logits, [B, K].
    variables: of the model.
    images: [N, H, W, 3], normalised.
    labels: [N], classes of the model.
    seed: of the pairs.
    count: of pairs; None for one a photograph.
    batch_size: images at once.

  Raises:
    UserError: for images that are not normalised [N, H, W, 3], or labels
      without a conflict.
  """
  images = inputs.checked(images)
  pairs = cue_conflicts(images, labels, seed=seed, count=count)
  classes_lib.chosen(labels, model, variables, images, field="labels")
  decided = []
  for batch in inputs.batches(pairs.images, batch_size):
    decided.append(np.asarray(_predicted(model, variables, batch)))
  return shape_bias(
    np.concatenate(decided), pairs.shape_labels, pairs.texture_labels
  )


@functools.partial(jax.jit, static_argnames="model")
def _predicted(model, variables, images) -> jax.Array:
  logits = classes_lib.logits(probe.call(model, variables, images))
  return jnp.argmax(logits, axis=1)
