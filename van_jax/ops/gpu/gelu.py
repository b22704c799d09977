"""GELU and its derivative inside of the GPU kernels, which know no erf.

P(N <= x) is 1 - exp(-x * x / 2) * poly(1 / (1 + p |x| / sqrt(2))) / 2 for x
>= 0, by Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26:
wrong by 0.8e-7 at most, half of float32's rounding at 1. The exponential is
the density's too.
"""

import math

import jax
import jax.numpy as jnp

from van_jax.ops.gpu.instructions import Instructions

_P = 0.3275911
_TERMS = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def gelu_and_slope(
  x: jax.Array, ptx: Instructions
) -> tuple[jax.Array, jax.Array]:
  """Returns the GELU and its derivative, of float32.

  Args:
    x: of any shape.
    ptx: the arithmetic.
  """
  t = ptx.reciprocal(ptx.multiply_add(jnp.abs(x), _P * math.sqrt(0.5), 1.0))
  decay = ptx.exp2((x * x) * (-0.5 * math.log2(math.e)))
  polynomial = _TERMS[0]
  for term in _TERMS[1:]:
    polynomial = ptx.multiply_add(t, polynomial, term)
  tail = polynomial * (t * 0.5) * decay
  below = jnp.where(x < 0.0, tail, 1.0 - tail)
  density = decay * (1 / math.sqrt(2 * math.pi))
  return x * below, ptx.multiply_add(x, density, below)
