"""Mixup and CutMix: blends of the examples of one device batch.

Semantics of timm 0.4.12's Mixup in batch mode, which the official recipe
uses: each batch gets mixup or CutMix, one lambda serves the whole batch, and
the partner of example i is example B - 1 - i.
"""

import jax
import jax.numpy as jnp

from van_jax import errors
from van_jax.training.recipe import smoothing


def mix(
  key: jax.Array,
  images: jax.Array,
  labels: jax.Array,
  *,
  num_classes: int,
  mixup_alpha: float = 0.8,
  cutmix_alpha: float = 1.0,
  switch_probability: float = 0.5,
  probability: float = 1.0,
  label_smoothing: float = 0.1,
) -> tuple[jax.Array, jax.Array]:
  """Returns mixed images [B, H, W, 3] and their soft targets [B, K] float32.

  The options are static Python numbers; the rest may be traced.

  Args:
    key: [], typed random key.
    images: [B, H, W, 3], floating point, normalised or not (blending and
      normalising commute).
    labels: [B], integers in [0, K).
    num_classes: K.
    mixup_alpha: lambda ~ Beta(alpha, alpha) of mixup; 0 turns mixup off.
    cutmix_alpha: the same for CutMix. Both 0: labels are smoothed only.
    switch_probability: of CutMix, in a batch that is mixed, when both are on.
    probability: that a batch is mixed at all.
    label_smoothing: in [0, 1); applied before the labels are mixed.
  """
  if not jnp.issubdtype(images.dtype, jnp.floating):
    raise errors.UserError(
      f"images are {images.dtype} and must be floating point to be blended; "
      "normalise them first."
    )
  targets = smoothing.smooth_one_hot(labels, num_classes, label_smoothing)
  weights, share = draw_weights(
    key,
    *images.shape[1:3],
    mixup_alpha=mixup_alpha,
    cutmix_alpha=cutmix_alpha,
    switch_probability=switch_probability,
    probability=probability,
  )
  if mixup_alpha == 0 and cutmix_alpha == 0:
    return images, targets
  weights = weights[None, :, :, None].astype(images.dtype)  # [1, H, W, 1]
  mixed = images * weights + jnp.flip(images, axis=0) * (1 - weights)
  return mixed, targets * share + jnp.flip(targets, axis=0) * (1 - share)


def draw_weights(
  key: jax.Array,
  height: int,
  width: int,
  *,
  mixup_alpha: float,
  cutmix_alpha: float,
  switch_probability: float,
  probability: float,
) -> tuple[jax.Array, jax.Array]:
  """Returns each pixel's own weight [H, W], and its mean over pixels [].

  The partner's weight is one minus the own. Mixup weighs all pixels by
  lambda; CutMix gives 0 inside its box and 1 outside, so that the mean is the
  lambda corrected to the clipped box. Both are float32.

  Args:
    key: [], typed random key.
    height: of the images, pixels.
    width: of the images, pixels.
    mixup_alpha: see `mix`, as are the others.
    cutmix_alpha: see `mix`.
    switch_probability: see `mix`.
    probability: see `mix`.
  """
  _check_options(mixup_alpha, cutmix_alpha, switch_probability, probability)
  if mixup_alpha == 0 and cutmix_alpha == 0:
    return jnp.ones((height, width)), jnp.ones(())
  if mixup_alpha > 0 and cutmix_alpha > 0:
    cutmix_chance = switch_probability
  else:
    cutmix_chance = float(cutmix_alpha > 0)
  mix_key, cutmix_key, share_key, box_key = jax.random.split(key, 4)
  use_cutmix = jax.random.bernoulli(cutmix_key, cutmix_chance)
  # One draw for both: a Beta compiles for a second.
  alpha = jnp.where(use_cutmix, cutmix_alpha, mixup_alpha)
  share = jax.random.beta(share_key, alpha, alpha)
  inside, area = draw_box(box_key, height, width, share)
  weights = jnp.where(use_cutmix, 1 - inside.astype(share.dtype), share)
  share = jnp.where(use_cutmix, 1 - area / (height * width), share)
  use_any = jax.random.bernoulli(mix_key, probability)
  return jnp.where(use_any, weights, 1), jnp.where(use_any, share, 1)


def draw_box(
  key: jax.Array, height: int, width: int, share: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns the CutMix box as a mask [H, W] bool, and its area [] in pixels.

  Sides are sqrt(1 - share) of the image's, rounded down, then down to an even
  number (timm's rand_bbox halves them); the centre is uniform over pixels and
  what leaves the image is clipped. The box can be empty.

  Args:
    key: [], typed random key.
    height: of the images, pixels.
    width: of the images, pixels.
    share: [], the part of the image to keep, in [0, 1].
  """
  rows_key, columns_key = jax.random.split(key)
  ratio = jnp.sqrt(1 - share)
  rows = _draw_interval(rows_key, height, ratio)
  columns = _draw_interval(columns_key, width, ratio)
  inside = rows[:, None] & columns[None, :]  # [H, W]
  return inside, jnp.sum(rows) * jnp.sum(columns)


def _draw_interval(key: jax.Array, size: int, ratio: jax.Array) -> jax.Array:
  """Returns which of `size` positions lie in one side of the box, [size]."""
  half = jnp.floor(size * ratio).astype(jnp.int32) // 2
  centre = jax.random.randint(key, (), 0, size)
  positions = jnp.arange(size)
  return (positions >= centre - half) & (positions < centre + half)


def _check_options(
  mixup_alpha: float,
  cutmix_alpha: float,
  switch_probability: float,
  probability: float,
) -> None:
  """Raises UserError for options outside of their ranges."""
  alphas = {"mixup_alpha": mixup_alpha, "cutmix_alpha": cutmix_alpha}
  for name, alpha in alphas.items():
    if not alpha >= 0:
      raise errors.UserError(
        f"mixing.{name}={alpha} must not be negative; 0 turns it off and "
        "the official recipe uses mixup 0.8 and CutMix 1.0."
      )
  chances = {
    "switch_probability": switch_probability,
    "probability": probability,
  }
  for name, chance in chances.items():
    if not 0 <= chance <= 1:
      raise errors.UserError(
        f"mixing.{name}={chance} must be a probability, in [0, 1]."
      )
