"""The effective receptive field: what the centre of a map depends on."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from van_jax import errors
from van_jax.analysis.inside import inputs, probe


def receptive_field(
  model: nn.Module,
  variables: Any,
  images: Any,
  *,
  stage: int = 4,
  block: str | None = None,
  batch_size: int = 8,
  draws: int = 1,
  seed: int = 0,
) -> np.ndarray:
  """Returns how much the centre of a map depends on each pixel, [H, W] float64.

  The usual measure (arXiv:1701.04128) is the gradient of the sum over channels
  of the map's central position. VAN's stages end in a LayerNorm over channels,
  and there that gradient is zero: a normed vector has mean zero whatever the
  image, so its sum over channels is constant (with trained scales all but
  constant), and what is left is rounding. A sum over the channels before the
  norm would not vanish, but channels of opposite sign cancel in it, and stages
  are not on one scale.

  Here it is the length of the whole Jacobian instead: with y the C channels at
  the centre, as the layers after the norm get them, and x the pixel's values,
  sqrt(mean over images of the sum of (dy_c / dx_k)^2 over c and k). The sum
  over c is estimated by random signs s, as the square of d(sum of s_c y_c) /
  dx_k: its expectation is that sum, as in Hutchinson's estimator, and nothing
  cancels but by chance. A pixel that is not seen at all is exactly zero.

  The centre is position (h // 2, w // 2), which looks at pixel stride * that.

  Args:
    model: a VAN, or a module that holds one.
    variables: of the model.
    images: [N, H, W, 3], normalised; more images, a smoother field. Large ones,
      or the field is cut off at their edges; `reach.stage_extent` says how
      far it can reach.
    stage: whose map, 1 to 4.
    block: "stage2/block0", say: the field of that block's attention alone, over
      the map that it gets; [h, w]. In place of the stage.
    batch_size: images at once; it changes no value but by the draws of signs.
    draws: of signs, for each image.
    seed: of the signs.

  Raises:
    UserError: for a stage or a block that is not there, or images that are not
      normalised [N, H, W, 3].
  """
  probe.check_stage(stage)
  if draws < 1:
    raise errors.UserError(f"draws={draws} must be at least 1.")
  images = inputs.checked(images)
  path, van = probe.find_van(model, variables, images[:1])
  place = (*path, f"norm{stage}")
  if block is not None:
    place = (*path, probe.find_block(van, block), *probe.GATING_UNIT)
  keys = jax.random.split(jax.random.key(seed), draws * len(images))
  total, used = 0.0, 0
  for batch in inputs.batches(images, batch_size):
    for _ in range(draws):
      program = _by_image if block is None else _by_block
      gradients = np.asarray(
        program(model, place, variables, batch, keys[used]), np.float64
      )
      # In float64, as squares of the outermost gradients would underflow.
      total = total + np.sum(gradients**2, (0, 3))
      used += 1
  return np.sqrt(total / (draws * len(images)))


@functools.partial(jax.jit, static_argnames=("model", "place"))
def _by_image(model, place, variables, images, key) -> jax.Array:
  """Returns gradients with respect to the images, [B, H, W, 3]."""

  def centre(x):
    _, found = probe.run(model, variables, x, places=[place])
    return _signed(found[place], key)

  return jax.grad(centre)(images)


@functools.partial(jax.jit, static_argnames=("model", "place"))
def _by_block(model, place, variables, images, key) -> jax.Array:
  """Returns gradients with respect to the input of a module, [B, h, w, C]."""

  def centre(nudge):
    _, found = probe.run(
      model, variables, images, places=[place], inputs={place: nudge}
    )
    return _signed(found[place], key)

  return jax.grad(centre)(probe.no_nudge(model, variables, images, place))


def _signed(of_stage: jax.Array, key: jax.Array) -> jax.Array:
  """Returns the sum of the central positions under random signs, []."""
  _, height, width, _ = of_stage.shape
  centre = of_stage[:, height // 2, width // 2].astype(jnp.float32)
  return jnp.sum(centre * jax.random.rademacher(key, centre.shape, jnp.float32))
