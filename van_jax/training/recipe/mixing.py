"""Mixup and CutMix: blends of the examples of a batch, group by group.

Semantics of timm 0.4.12's FastCollateMixup in batch mode, which the official
recipe uses. There each process mixes the images that it has loaded: its 128
are one group of ours. A group gets mixup or CutMix, one lambda serves all of
it, and the partner of its example i is its example n - 1 - i. Bytes are mixed,
before they are normalised; a blend is rounded to the nearest, half to even.
"""

import functools

import jax
import jax.numpy as jnp

from van_jax import errors
from van_jax.training.recipe import smoothing

# Lambda is a multiple of 1 / 65536. Products of bytes with it, and their sums,
# then have 24 bits and are exact in float32: compilers that fuse a product and
# a sum, or not, give the same byte.
_LAMBDAS = 1 << 16


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
  group_size: int | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Returns mixed images, uint8, and their soft targets [B, K] float32.

  The options are static Python numbers; the rest may be traced. Groups that a
  device holds whole are mixed where they lie.

  Args:
    key: [], typed random key.
    images: uint8 [B, H, W, 3], before they are normalised.
    labels: [B], integers in [0, K).
    num_classes: K.
    mixup_alpha: lambda ~ Beta(alpha, alpha) of mixup; 0 turns mixup off.
    cutmix_alpha: the same for CutMix. Both 0: labels are smoothed only.
    switch_probability: of CutMix, in a group that is mixed, when both are on.
    probability: that a group is mixed at all.
    label_smoothing: in [0, 1); applied before the labels are mixed.
    group_size: consecutive examples that share a draw and have their partners
      among them; divides B. None, or more than B: the batch is one group.
  """
  if images.dtype != jnp.uint8:
    raise errors.UserError(
      f"images are {images.dtype} and must be uint8 to be mixed; normalise "
      "them afterwards."
    )
  groups = _count_groups(len(images), group_size)
  draw = functools.partial(
    draw_weights,
    height=images.shape[1],
    width=images.shape[2],
    mixup_alpha=mixup_alpha,
    cutmix_alpha=cutmix_alpha,
    switch_probability=switch_probability,
    probability=probability,
  )
  keys = jax.random.split(key, groups) if groups > 1 else key[None]
  weights, shares = jax.vmap(draw)(keys)
  smooth = functools.partial(
    smoothing.smooth_one_hot, num_classes=num_classes, smoothing=label_smoothing
  )
  targets = smooth(labels)
  if mixup_alpha == 0 and cutmix_alpha == 0:
    return images, targets
  # Labels are reversed, and not their rows of K: partners may be elsewhere.
  partner_targets = smooth(_partners(labels, groups))
  blended = _blend(images, _partners(images, groups), weights[..., None])
  mixed = jnp.round(blended).astype(jnp.uint8)  # Half to even.
  return mixed, _blend(targets, partner_targets, shares[:, None])


def _partners(x: jax.Array, groups: int) -> jax.Array:
  """Returns x, [B, ...], with each of its groups reversed."""
  return jnp.flip(x.reshape(groups, -1, *x.shape[1:]), axis=1).reshape(x.shape)


def _blend(own: jax.Array, other: jax.Array, weights: jax.Array) -> jax.Array:
  """Returns own by weights and other by the rest, float32 [B, ...].

  Args:
    own: [B, ...].
    other: [B, ...].
    weights: [groups, ...], of an example's own values.
  """
  grouped = (len(weights), -1, *own.shape[1:])
  weights = weights[:, None]
  blended = own.reshape(grouped) * weights
  blended += other.reshape(grouped) * (1 - weights)
  return blended.reshape(own.shape)


def _count_groups(batch: int, group_size: int | None) -> int:
  """Returns how many groups a batch has."""
  if group_size is None:
    return 1
  check_group_size(group_size, batch)
  return max(batch // group_size, 1)


def check_group_size(group_size: int, batch_size: int) -> None:
  """Raises UserError for groups that do not make up a batch.

  Args:
    group_size: see `mix`.
    batch_size: examples, of all devices.
  """
  if group_size < 1 or (batch_size > group_size and batch_size % group_size):
    raise errors.UserError(
      f"mixing.group_size={group_size} must be at least 1 and divide "
      f"batch_size={batch_size}; change one of the two, or set it to None, "
      "which mixes the batch as one group."
    )


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

  They are a group's. The partner's weight is one minus the own. Mixup weighs
  all pixels by lambda; CutMix gives 0 inside its box and 1 outside, so that the
  mean is the lambda corrected to the clipped box. Both are float32.

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
  share = jnp.round(share * _LAMBDAS) / _LAMBDAS
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
