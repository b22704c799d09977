"""Grad-CAM: where a stage's map speaks for a class."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from van_jax.analysis.inside import classes as classes_lib, inputs, probe
from van_jax.analysis.inside.upsampling import upsample


def grad_cam(
  model: nn.Module,
  variables: Any,
  images: Any,
  *,
  classes: Any = None,
  stage: int = 4,
) -> np.ndarray:
  """Returns Grad-CAM of a class (arXiv:1610.02391), [B, H, W] float32.

  With A the map of the stage's last layer, its LayerNorm, and y the class's
  logit: relu(sum over c of mean(dy / dA_c) A_c), put over the image bilinearly
  by `upsample` and divided by its largest value, so that it is in [0, 1]; it is
  zero throughout where nothing speaks for the class. At stage 4 of a
  classifier, whose logits are linear in the mean of A, this is CAM
  (arXiv:1512.04150): relu(sum over c of head[c, class] A_c).

  Args:
    model: a classifier, or a module with a VAN inside that gives logits [B, K],
      or [B, H, W, K], of which y is the mean over positions.
    variables: of the model.
    images: [B, H, W, 3], normalised.
    classes: one for all images, or one an image; None for the likeliest.
    stage: 1 to 4.

  Raises:
    UserError: for a class or a stage that is not there, or images that are not
      normalised [B, H, W, 3].
  """
  probe.check_stage(stage)
  images = jnp.asarray(inputs.checked(images))
  path, _ = probe.find_van(model, variables, images)
  chosen = classes_lib.chosen(classes, model, variables, images)
  place = (*path, f"norm{stage}")
  maps = np.asarray(_weighted(model, place, variables, images, chosen))
  maps = upsample(maps, images.shape[1:3])
  largest = maps.max((1, 2), keepdims=True)
  return maps / np.where(largest > 0, largest, 1)


@functools.partial(jax.jit, static_argnames=("model", "place"))
def _weighted(model, place, variables, images, classes) -> jax.Array:
  """Returns the positive part of the weighted map, [B, h, w]."""

  def score(nudge):
    outputs, found = probe.run(
      model, variables, images, places=[place], outputs={place: nudge}
    )
    picked = classes_lib.pick(classes_lib.logits(outputs), classes)
    return jnp.sum(picked), found[place]  # No image sees another.

  gradient, of_stage = jax.grad(score, has_aux=True)(
    probe.no_nudge(model, variables, images, place)
  )
  weights = jnp.mean(gradient.astype(jnp.float32), (1, 2), keepdims=True)
  return jax.nn.relu(jnp.sum(weights * of_stage.astype(jnp.float32), -1))
