"""A bias, and the sum that is its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import ops


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
