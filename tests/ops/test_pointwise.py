"""The 1x1 convolution, whichever way it is computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import ops
from van_jax.ops import pointwise


def draw(channels=7, features=3, width=4):
  rng = np.random.default_rng(0)
  return [
    jnp.asarray(rng.standard_normal(shape), jnp.float32)
    for shape in (
      (2, 5, width, channels),
      (channels, features),
      (2, 5, width, features),
    )
  ]


@pytest.mark.parametrize(
  "run", [ops.pointwise_conv, pointwise._multiply, pointwise._convolve]
)
@pytest.mark.parametrize(
  "sizes",
  [
    (7, 3, 4),
    (3, 7, 4),
    (3, 4, 40),  # a kernel gradient in parts.
  ],
)
def test_result_and_gradients_are_those_of_a_matrix(run, sizes):
  x, kernel, gradient = draw(*sizes)
  y, vjp = jax.vjp(run, x, kernel)
  expected = (
    np.einsum("bhwc,cf->bhwf", x, kernel),
    np.einsum("bhwf,cf->bhwc", gradient, kernel),
    np.einsum("bhwc,bhwf->cf", x, gradient),
  )
  for a, b in zip((y, *vjp(gradient)), expected, strict=True):
    # Sums of at most 400 products of order 1 in float32, in another order.
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize(
  ("platform", "convolutions", "products"), [("cpu", 0, 3), ("tpu", 3, 0)]
)
def test_each_platform_gets_its_own(platform, convolutions, products):
  x, kernel, gradient = draw()

  def run(x, kernel, gradient):
    y, vjp = jax.vjp(ops.pointwise_conv, x, kernel)
    return y, *vjp(gradient)

  program = jax.jit(run).trace(x, kernel, gradient)
  text = program.lower(lowering_platforms=(platform,)).as_text()
  assert text.count("stablehlo.convolution") == convolutions
  assert text.count("stablehlo.dot_general") == products


@pytest.mark.parametrize(
  ("x", "kernel", "message"),
  [
    (jnp.ones((1, 2, 2, 256)), jnp.ones((128, 128)), "two C"),
    (jnp.ones((4, 128)), jnp.ones((128, 128)), "two C"),
    (jnp.ones((1, 2, 2, 8)), jnp.ones((8, 8), jnp.bfloat16), "same floating"),
  ],
)
def test_other_arguments_are_refused(x, kernel, message):
  with pytest.raises(ValueError, match=message):
    ops.pointwise_conv(x, kernel)


def test_unknown_implementations_are_refused():
  x, kernel, _ = draw()
  with pytest.raises(ValueError, match=r"'fft'.*auto, grouped, numba_cpu"):
    ops.pointwise_conv(x, kernel, implementation="fft")
