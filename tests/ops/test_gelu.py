"""A bias's gradient; GELU and its slope, at every bfloat16 number."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import ops
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
  np.testing.assert_array_equal(ops.gelu(x), gelu_and_slope(x)[0])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_plain_gelu_is_jaxs_to_its_rounding(dtype):
  x = jnp.linspace(-6, 6, 1001, dtype=dtype)
  ours = jax.jvp(
    lambda x: ops.gelu(x, implementation="xla"), (x,), (jnp.ones_like(x),)
  )
  # Of numbers up to 6: a few roundings of float32, or one of bfloat16.
  rounding = {"float32": 2e-6, "bfloat16": 6 * 2**-8}[dtype]
  for a, b in zip(ours, exact(np.asarray(x, np.float64)), strict=True):
    assert a.dtype == dtype
    np.testing.assert_allclose(
      np.asarray(a, np.float64), b, rtol=0, atol=rounding
    )


def test_float32_is_that_of_erf():
  x = np.linspace(-6, 6, 10001, dtype=np.float32)
  for ours, expected in zip(
    gelu_and_slope(jnp.asarray(x)), exact(x.astype(np.float64)), strict=True
  ):
    # A few roundings of numbers up to 6: 5e-7 each.
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradient_of_a_bfloat16_map_is_summed_in_float32(dtype):
  gradient = jnp.full((4, 32, 32, 3), 1.0, jnp.bfloat16)
  _, vjp = jax.vjp(ops.add_bias, 2 * gradient, jnp.zeros(3, dtype))
  # Ones in bfloat16 add up to 256 at most: the next one is rounded away.
  np.testing.assert_array_equal(vjp(gradient)[1], [4 * 32 * 32] * 3)


def test_result_keeps_the_dtype_of_the_map():
  x = jnp.zeros((1, 2, 2, 3), jnp.bfloat16)
  y = ops.add_bias(x, jnp.arange(3.0))
  assert y.dtype == jnp.bfloat16
  np.testing.assert_array_equal(y[0, 1, 1], [0, 1, 2])
