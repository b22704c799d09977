"""What follows a product: its bias, and the exact GELU.

Sums of gradients are in float32, and GELU keeps little for its gradient.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from van_jax import errors
from van_jax.ops import by_platform

# Of t, t**3, t**5 and t**7 in atanh(2 P(N <= t) - 1): minimax up to t = 5, by
# which P is right to a part in 776 where it is small. The polynomial goes on to
# rise, so that nothing special happens beyond.
_LOGIT = (0.79630, 0.037914, -4.9337e-4, 4.5166e-6)


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


def gelu(x: jax.Array, *, implementation: str = "auto") -> jax.Array:
  """Returns x * P(N <= x), N being standard normal: torch's default GELU.

  Keeps its derivative alone for the gradient. What jax.nn.gelu keeps are an
  exponential and an erfc, each a map that goes to memory and back. In bfloat16
  the error is at most one unit in the last place, or 1e-6: a tanh of a
  polynomial then stands for erf, which takes three times its cycles on TPUs.

  Args:
    x: of any shape, floating.
    implementation: "xla" for JAX's erf and its derivatives of any kind.

  Raises:
    UserError: on an implementation that is none, or whole numbers.
  """
  if not jnp.issubdtype(x.dtype, jnp.floating):
    raise errors.UserError(
      f"x.dtype={x.dtype} must be floating; cast it first."
    )
  if by_platform.is_plain(implementation, (x,)):
    wide = _wide(x)
    return (wide * _by_erf(wide)).astype(x.dtype)
  return by_platform.compute((x,), _KEEPING_SLOPE, cuda=_ON_GPU)


def gelu_and_slope(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns gelu(x) and its derivative there, in bfloat16 to 1/256."""
  wide = _wide(x)
  below = _normal_cdf(wide, x.dtype)
  density = jnp.exp(-0.5 * (wide * wide) - 0.5 * math.log(2 * math.pi))
  slope = below + wide * density
  return (wide * below).astype(x.dtype), slope.astype(x.dtype)


def gelu_and_slope_on_gpu(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the same, of which x's dtype alone goes to memory.

  XLA for GPUs would write the normal distribution's P in float32 instead of the
  slope, and make the slope of it in the backward pass.
  """
  return lax.optimization_barrier(gelu_and_slope(x))


def _gelu(x):
  wide = _wide(x)
  return (wide * _normal_cdf(wide, x.dtype)).astype(x.dtype)


def _times(slope, gradient):
  return (gradient * slope,)


_KEEPING_SLOPE = by_platform.Way(_gelu, gelu_and_slope, _times)
_ON_GPU = by_platform.Way(_gelu, gelu_and_slope_on_gpu, _times)


def _wide(x):
  return x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x


def _normal_cdf(x, dtype):
  """Returns P(N <= x), exact enough for a result of the dtype."""
  if dtype != jnp.bfloat16:
    return _by_erf(x)
  square = x * x
  first, *others = reversed(_LOGIT)
  polynomial = first
  for coefficient in others:
    polynomial = polynomial * square + coefficient
  return 0.5 + 0.5 * jnp.tanh(x * polynomial)


def _by_erf(x):
  return 0.5 + 0.5 * lax.erf(x * math.sqrt(0.5))
