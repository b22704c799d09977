"""A bias, and the sum that is its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from van_jax import ops
from van_jax.ops import bias as bias_op


def test_gradient_of_a_bfloat16_map_is_summed_in_float32():
  gradient = jnp.full((4, 32, 32, 3), 1.0, jnp.bfloat16)
  _, vjp = jax.vjp(ops.add_bias, 2 * gradient, jnp.zeros(3))
  # Ones in bfloat16 add up to 256 at most: the next one is rounded away.
  np.testing.assert_array_equal(vjp(gradient)[1], [4 * 32 * 32] * 3)


def test_result_keeps_the_dtype_of_the_map():
  x = jnp.zeros((1, 2, 2, 3), jnp.bfloat16)
  y = ops.add_bias(x, jnp.arange(3.0))
  assert y.dtype == jnp.bfloat16
  np.testing.assert_array_equal(y[0, 1, 1], [0, 1, 2])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
  "shape",
  [
    (3, 5, 7, 5),
    (64, 3, 2, 9),  # Channels in sublanes, zeros beside them.
    (130, 2, 2, 16),  # Two registers of examples.
    (8, 2, 2, 300),  # Three of channels, the last one not full.
    (16, 7, 4, 512),
  ],
  ids=str,
)
def test_tpu_kernel_equals_the_sum(shape, dtype):
  x = jnp.asarray(np.random.default_rng(0).standard_normal(shape), dtype)
  expected = np.sum(np.asarray(x, np.float64), (0, 1, 2))
  # Sums of at most 520 numbers of order 1 in float32, whatever x's dtype.
  np.testing.assert_allclose(
    bias_op._sums_on_tpu(x), expected, rtol=1e-5, atol=1e-5
  )


def test_devices_add_up_their_sums():
  x = jnp.arange(16 * 2 * 2 * 3.0).reshape(16, 2, 2, 3)
  mesh = Mesh(np.array(jax.devices()), ("batch",))
  split = NamedSharding(mesh, PartitionSpec("batch"))
  run = jax.jit(bias_op._sums_on_tpu)
  text = str(run.lower(jax.device_put(x, split)).compile().as_text())
  assert text.count("all-reduce(") == 1
  assert "all-gather" not in text
  # Whole numbers below 2**24: exact in float32.
  np.testing.assert_array_equal(
    run(jax.device_put(x, split)), np.sum(np.asarray(x), (0, 1, 2))
  )
