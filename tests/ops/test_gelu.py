"""GELU's value and slope, in bfloat16 at every number that there is."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from van_jax.ops import gelu as door
from van_jax.ops.gelu import gelu_and_slope

BITS = np.arange(2**16, dtype=np.uint32) << 16  # float32 of each bfloat16.


def exact(x):
  """Returns GELU and its slope at x in float64; erfc is right to an ulp."""
  below = np.asarray([0.5 * math.erfc(-t / math.sqrt(2)) for t in x])
  density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
  return x * below, below + x * density


@pytest.mark.parametrize("n", [0, 1], ids=["value", "slope"])
def test_bfloat16_is_right_to_its_rounding(n):
  x = BITS.view(np.float32)
  x = x[np.abs(x) < 1e4].astype(np.float64)  # Beyond it is x, or 0.
  ours = gelu_and_slope(jnp.asarray(x, jnp.bfloat16))[n]
  expected = exact(x)[n]
  _, exponent = np.frexp(expected)
  ulp = np.ldexp(1.0, exponent - 8)  # Of 8 bits; half of it is rounding.
  error = np.abs(np.asarray(ours, np.float64) - expected)
  # Where GELU is 1e-6 it starts to vanish, in float32's erf too. The slope
  # has a zero, around which it is right to a quarter ulp of its terms.
  limit = np.maximum(0.8 * ulp, [1e-6, 2**-10][n])
  np.testing.assert_array_less(error, limit)


def test_bfloat16_ends_as_the_exact_one():
  x = jnp.asarray([-3e38, -1e4, 1e4, 3e38, jnp.inf], jnp.bfloat16)
  value, slope = gelu_and_slope(x)
  np.testing.assert_array_equal(value, [0, 0, x[2], x[3], jnp.inf])
  np.testing.assert_array_equal(slope[:4], [0, 0, 1, 1])


def test_gelu_is_the_first_of_the_two():
  x = jnp.linspace(-6, 6, 1001, dtype=jnp.bfloat16)
  np.testing.assert_array_equal(door(x), gelu_and_slope(x)[0])


def test_float32_is_that_of_erf():
  x = np.linspace(-6, 6, 10001, dtype=np.float32)
  for ours, expected in zip(
    gelu_and_slope(jnp.asarray(x)), exact(x.astype(np.float64)), strict=True
  ):
    # A few roundings of numbers up to 6: 5e-7 each.
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-6)
