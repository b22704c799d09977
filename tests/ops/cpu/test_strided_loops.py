"""The loops of strided convolutions, for all taps, strides and paddings."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from van_jax.ops.cpu.strided import call


@pytest.mark.parametrize("taps", range(1, 8))
def test_loops_equal_xla_for_any_stride_and_padding(taps):
  assert call.is_available()
  rng = np.random.default_rng(0)
  x, kernel = (
    jnp.asarray(rng.standard_normal(shape), jnp.float32)
    for shape in ((2, 11, 8, 16), (taps, taps, 16, 32))
  )
  for stride, padding in itertools.product(range(1, 5), range(4)):
    expected = lax.conv_general_dilated(
      x,
      kernel,
      (stride, stride),
      ((padding, padding),) * 2,
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    ours = call.conv(x, kernel, stride=stride, padding=padding)
    # Sums of at most 784 products of order 1 in float32, in another order.
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-4)


def test_loops_take_channels_by_pairs_of_vectors():
  assert call.takes(32)
  assert not call.takes(31)
