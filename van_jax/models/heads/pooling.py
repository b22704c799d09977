"""Averages over a grid of cells, whatever the size of a map."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class AdaptiveAveragePool(nn.Module):
  """Averages a map over size x size cells, as torch's AdaptiveAvgPool2d.

  Cell i of n reaches from floor(i N / n) to ceil((i + 1) N / n): cells overlap
  where n does not divide N.

  Attributes:
    size: cells along each axis.
  """

  size: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, C] to [B, size, size, C]; sums are in float32 or wider."""
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    for axis in (1, 2):
      length = y.shape[axis]
      means = [
        jnp.mean(
          jax.lax.slice_in_dim(
            y,
            i * length // self.size,
            -(-(i + 1) * length // self.size),
            axis=axis,
          ),
          axis,
        )
        for i in range(self.size)
      ]
      y = jnp.stack(means, axis)
    return y.astype(x.dtype)
