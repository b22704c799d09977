"""Adding a bias, with its gradient summed in float32."""

import jax
import jax.numpy as jnp


def add_bias(x: jax.Array, bias: jax.Array) -> jax.Array:
  """Returns x + bias, [B, H, W, C], of x's dtype.

  The sum, and so the gradient's over all positions, is in float32 at least: in
  bfloat16 it would be inexact.

  Args:
    x: [B, H, W, C].
    bias: [C].
  """
  wide = bias.astype(jnp.promote_types(x.dtype, jnp.float32))
  return (x + wide[None, None, None]).astype(x.dtype)
