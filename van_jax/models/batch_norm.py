"""Batch normalisation as PyTorch does it, over the batch or groups of it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from van_jax import errors

EPSILON = 1e-5
MOMENTUM = 0.9  # What stays of the running value; torch's momentum is 0.1.


class BatchNorm(nn.Module):
  """Normalises each channel by its mean and variance over B, H and W.

  Statistics are float32 and taken in two passes. The biased variance
  normalises, the unbiased one is stored, so that running statistics equal
  those of torch.nn.BatchNorm2d. Under jit on a sharded batch they are those
  of the global batch.

  Attributes:
    group_size: examples that share statistics, consecutive ones; None for the
      whole batch. Running statistics move towards the mean of the groups'.
    frozen: use the running statistics in training too, and leave them alone.
    dtype: of the result.
  """

  group_size: int | None = None
  frozen: bool = False
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, C].

    Raises:
      UserError: in training, if B is not a multiple of group_size, or a group
        has a single value a channel and hence no variance.
    """
    channels = x.shape[-1:]
    scale = self.param("scale", nn.initializers.ones, channels, jnp.float32)
    bias = self.param("bias", nn.initializers.zeros, channels, jnp.float32)
    mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
    var = self.variable("batch_stats", "var", jnp.ones, channels)
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if not train or self.frozen or self.is_initializing():
      y = _normalise(wide[None], mean.value[None], var.value[None], scale, bias)
      return y.reshape(x.shape).astype(self.dtype)

    groups = _split(wide, self.group_size)
    group_mean, group_var = _moments(groups)
    y = _normalise(groups, group_mean, group_var, scale, bias)
    count = groups[0].size // groups.shape[-1]
    new_mean = jnp.mean(group_mean, 0)
    new_var = jnp.mean(group_var, 0) * (count / (count - 1))  # As torch keeps.
    mean.value = MOMENTUM * mean.value + (1 - MOMENTUM) * new_mean
    var.value = MOMENTUM * var.value + (1 - MOMENTUM) * new_var
    return y.reshape(x.shape).astype(self.dtype)


def _split(x: jax.Array, group_size: int | None) -> jax.Array:
  """Returns x, [B, H, W, C], as [groups, examples, H, W, C]."""
  size = group_size or x.shape[0]
  if x.shape[0] % size:
    raise errors.UserError(
      f"batch_norm_group_size={size} must divide the batch, which has "
      f"{x.shape[0]} examples; change one of the two."
    )
  groups = x.reshape(-1, size, *x.shape[1:])
  if groups[0].size == x.shape[-1]:
    raise errors.UserError(
      f"BatchNorm in training needs several values a channel, got one from "
      f"x.shape={x.shape} in groups of {size}; enlarge the batch, the group or "
      f"the images, or set batch_norm_frozen."
    )
  return groups


def _moments(groups: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns mean and biased variance of each group, both [groups, C]."""
  mean = jnp.mean(groups, (1, 2, 3))
  centred = groups - _spread(mean)
  return mean, jnp.mean(jnp.square(centred), (1, 2, 3))


def _normalise(groups, mean, var, scale, bias):
  """Returns the groups, [G, B, H, W, C], by their mean and var, [G, C]."""
  factor = scale[None] * jax.lax.rsqrt(var + EPSILON)
  shift = bias[None] - mean * factor
  return groups * _spread(factor) + _spread(shift)


def _spread(x: jax.Array) -> jax.Array:
  """Returns x, [G, C], as [G, 1, 1, 1, C]."""
  return x[:, None, None, None]
