"""A patch embedding's convolution against flax's own."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax.models import layers
from van_jax.models.strided import StridedConv


def flax_conv(kernel_size, stride):
  return nn.Conv(
    32,
    (kernel_size, kernel_size),
    strides=stride,
    padding=kernel_size // 2,
    kernel_init=layers.conv_init(),
  )


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
@pytest.mark.parametrize(("kernel_size", "stride"), [(7, 4), (3, 2)])
def test_weights_and_results_are_those_of_flax(kernel_size, stride, size, key):
  x = jnp.asarray(np.random.default_rng(0).standard_normal((2, *size, 3)))
  ours: Any = StridedConv(32, kernel_size, stride)
  theirs: Any = flax_conv(kernel_size, stride)
  variables = theirs.init(key, x)
  jax.tree.map(np.testing.assert_array_equal, ours.init(key, x), variables)
  bias = jnp.arange(32.0)
  variables = {"params": variables["params"] | {"bias": bias}}
  # Float32 sums of at most 147 products of order 1, in another order.
  np.testing.assert_allclose(
    ours.apply(variables, x), theirs.apply(variables, x), rtol=1e-5, atol=1e-5
  )


def test_bias_gradient_of_a_bfloat16_map_is_summed_in_float32(key):
  conv: Any = StridedConv(16, 3, 2, dtype=jnp.bfloat16)
  x = jnp.ones((4, 64, 64, 3))
  params = conv.init(key, x)["params"]

  def loss(params):
    y = conv.apply({"params": params}, x)
    assert y.dtype == jnp.bfloat16
    return jnp.sum(y.astype(jnp.float32))

  # Ones in bfloat16 add up to 256 at most: the next one is rounded away.
  np.testing.assert_array_equal(
    jax.grad(loss)(params)["bias"], [4 * 32 * 32] * 16
  )
