"""Losses of single pixels, and how a batch's become one number.

All as in mmsegmentation 0.12. In particular a batch's loss is the sum over its
pixels that have a class, divided by the number of all its pixels, void ones
too: `loss.mean()` there, later versions' avg_non_ignore=False. Class weights
multiply losses and do not change the divisor, nor does leaving out easy pixels.
(torch's own mean divides by the weights of the pixels that have a class.) So
micro-batches and devices of one size add up to the batch exactly.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from van_jax.tasks.confusion import VOID


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns the cross-entropy of each pixel, float32 [...].

  Args:
    logits: [..., K].
    labels: [...], integers; of VOID ones it is 0, and NaN for those that are
      no class.
  """
  logits = logits.astype(jnp.float32)
  classes = jnp.arange(logits.shape[-1])
  classes = classes.reshape((1,) * labels.ndim + (-1,))
  # A sum, not a gather, whose gradient would be a scatter.
  own = jnp.where(labels[..., None] == classes, logits, 0).sum(-1)
  inside = (labels >= 0) & (labels < logits.shape[-1])
  own = jnp.where(inside, own, jnp.nan)
  loss = jax.nn.logsumexp(logits, axis=-1) - own
  return jnp.where(labels == VOID, 0, loss)


def weighted(
  losses: jax.Array, labels: jax.Array, weights: Sequence[float] | None
) -> jax.Array:
  """Returns losses times their labels' weights, of the same shape.

  Args:
    losses: [...], of `cross_entropy`: 0 or NaN where a label is no class.
    labels: [...].
    weights: [K]; None for 1.
  """
  if weights is None:
    return losses
  by_class = jnp.asarray(weights, jnp.float32)
  return losses * by_class[jnp.clip(labels, 0, len(weights) - 1)]


def hard_pixels(
  losses: jax.Array,
  weighted_losses: jax.Array,
  labels: jax.Array,
  *,
  threshold: float | None,
  min_kept: int,
) -> jax.Array:
  """Returns 1 for pixels that count and 0 for others, float32 [B, H, W].

  OHEM, online hard example mining, as mmsegmentation's OHEMPixelSampler: the
  pixels whose class has a probability below `threshold`, or below that of the
  one with `min_kept` x B smaller ones, if that is higher. Without a threshold
  the `min_kept` x B pixels of the highest loss; of equal losses at the limit
  each counts in part. B is the batch's, over all devices: there, each device
  looks at its own images.

  Args:
    losses: [B, H, W], of `cross_entropy`.
    weighted_losses: [B, H, W], the same times the classes' weights.
    labels: [B, H, W].
    threshold: of probability; None for none.
    min_kept: pixels an image.
  """
  losses, weighted_losses = lax.stop_gradient((losses, weighted_losses))
  counted = labels != VOID
  number = jnp.sum(counted, dtype=jnp.int32)
  kept = jnp.minimum(min(min_kept * len(labels), labels.size), number)
  if threshold is not None:
    probability = jnp.exp(-losses)
    limit = smallest(probability, counted, jnp.minimum(kept, number - 1))
    easy = probability >= jnp.maximum(limit, threshold)
    return (counted & ~easy).astype(jnp.float32)  # A NaN is kept, and seen.
  weighted_losses = jnp.maximum(weighted_losses, 0)  # Rounded below, by chance.
  limit = smallest(weighted_losses, counted, number - kept)
  above = counted & ~(weighted_losses <= limit)
  at = counted & (weighted_losses == limit)
  share = (kept - jnp.sum(above)) / jnp.maximum(jnp.sum(at), 1)
  return jnp.where(above, 1, jnp.where(at, share, 0)).astype(jnp.float32)


def smallest(
  values: jax.Array, counted: jax.Array, rank: jax.Array
) -> jax.Array:
  """Returns the value with `rank` smaller ones among those counted, [].

  By halving the range of bit patterns, which are ordered as non-negative
  floats are: 31 counts and no sort, of values that lie on many devices.

  Args:
    values: float32, of any shape; negative ones are taken for 0.
    counted: Boolean, of the same shape.
    rank: [] int32, from 0; infinity is returned where there are fewer.
  """
  infinity = jnp.float32(jnp.inf)
  values = jnp.where(jnp.isnan(values), infinity, jnp.maximum(values, 0))
  bits = lax.bitcast_convert_type(values + 0.0, jnp.int32)  # -0 becomes 0.

  def halve(_, ends):
    low, high = ends
    middle = low + (high - low) // 2
    enough = jnp.sum(counted & (bits <= middle), dtype=jnp.int32) > rank
    return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

  ends = (jnp.int32(0), lax.bitcast_convert_type(infinity, jnp.int32))
  _, high = lax.fori_loop(0, 31, halve, ends)
  return lax.bitcast_convert_type(high, jnp.float32)
