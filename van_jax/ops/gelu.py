"""The exact GELU, which keeps little for its gradient."""

import math

import jax
import jax.numpy as jnp

# Of t, t**3, t**5 and t**7 in atanh(2 P(N <= t) - 1): minimax up to t = 5, by
# which P is right to a part in 776 where it is small. The polynomial goes on to
# rise, so that nothing special happens beyond.
_LOGIT = (0.79630, 0.037914, -4.9337e-4, 4.5166e-6)


@jax.custom_vjp
def gelu(x: jax.Array) -> jax.Array:
  """Returns x * P(N <= x), N being standard normal: torch's default GELU.

  Keeps its derivative alone for the gradient. What jax.nn.gelu keeps are an
  exponential and an erfc, each a map that goes to memory and back. In bfloat16
  the error is at most one unit in the last place, or 1e-6: a tanh of a
  polynomial then stands for erf, which takes three times its cycles on TPUs.
  """
  wide = _wide(x)
  return (wide * _normal_cdf(wide, x.dtype)).astype(x.dtype)


def gelu_and_slope(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns gelu(x) and its derivative there, in bfloat16 to 1/256."""
  wide = _wide(x)
  below = _normal_cdf(wide, x.dtype)
  density = jnp.exp(-0.5 * (wide * wide) - 0.5 * math.log(2 * math.pi))
  slope = below + wide * density
  return (wide * below).astype(x.dtype), slope.astype(x.dtype)


gelu.defvjp(gelu_and_slope, lambda slope, gradient: (gradient * slope,))


def _wide(x):
  return x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x


def _normal_cdf(x, dtype):
  """Returns P(N <= x), exact enough for a result of the dtype."""
  if dtype != jnp.bfloat16:
    return 0.5 + 0.5 * jax.lax.erf(x * math.sqrt(0.5))
  square = x * x
  first, *others = reversed(_LOGIT)
  polynomial = first
  for coefficient in others:
    polynomial = polynomial * square + coefficient
  return 0.5 + 0.5 * jnp.tanh(x * polynomial)
