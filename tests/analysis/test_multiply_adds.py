"""Products of traced programs, counted by hand."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from van_jax.analysis.multiply_adds import multiply_adds

A, B = jnp.ones((2, 3, 5)), jnp.ones((2, 5, 7))
ONE = 2 * 3 * 5 * 7  # Of A @ B.


def convolve(x):
  return lax.conv_general_dilated(
    x, jnp.ones((3, 2, 2, 6)), (2, 1), "SAME", feature_group_count=2,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )  # fmt: skip


def scanned(a, b):
  return lax.scan(lambda carry, _: (carry + a @ b, None), a @ b, None, 4)[0]


def branched(a, b):
  return lax.cond(a[0, 0, 0] > 0, lambda: 0 * (a @ b) + a @ b, lambda: a @ b)


@pytest.mark.parametrize(
  ("program", "arguments", "expected"),
  [
    (jnp.matmul, (A, B), ONE),
    (jax.jit(jnp.matmul), (A, B), ONE),
    (jax.checkpoint(jnp.matmul), (A, B), ONE),
    (scanned, (A, B), 5 * ONE),
    (branched, (A, B), 2 * ONE),
    (lambda a, b: jnp.exp(a) + 1, (A, B), 0),
    # Each of 4 x 8 x 6 results takes 3 x 2 taps of 2 channels.
    (convolve, (jnp.ones((1, 8, 8, 4)),), 4 * 8 * 6 * 3 * 2 * 2),
  ],
)
def test_products_are_counted(program, arguments, expected):
  assert multiply_adds(jax.make_jaxpr(program)(*arguments)) == expected
