"""What the forward pass leaves for the backward pass in a GPU's program.

XLA for GPUs is told by barriers; they are seen in what is lowered for one, and
their sizes where its compiler is (`test_gpu_depthwise_compile.py`).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import ops
from van_jax.ops import depthwise_gelu


def arguments(dtype):
  draw = np.random.default_rng(0)
  shapes = {"x": (2, 9, 11, 8), "kernel": (3, 3, 1, 8)}
  shapes |= {"bias": (8,), "input_bias": (8,)}
  found = {
    name: jnp.asarray(draw.standard_normal(shape), jnp.float32)
    for name, shape in shapes.items()
  }
  return found | {"x": found["x"].astype(dtype)}


def lowered(function, *arguments, platform):
  def total(*arguments):
    return jnp.sum(function(*arguments).astype(jnp.float32))

  gradient = jax.grad(total, range(len(arguments)))
  traced = jax.jit(gradient).trace(*arguments)
  return traced.lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("implementation", ["auto", "grouped"])
def test_the_mlps_maps_are_kept_as_they_are(implementation):
  given = arguments(jnp.bfloat16)
  x, kernel = given["x"], given["kernel"]

  def run(x, kernel):
    return ops.depthwise_conv_gelu(
      x,
      kernel,
      bias=given["bias"],
      input_bias=given["input_bias"],
      implementation=implementation,
    )

  text = lowered(run, x, kernel, platform="cuda")
  barriers = [i for i in text.splitlines() if "optimization_barrier" in i]
  # GELU and its slope forward, x backward: all in bfloat16.
  assert len(barriers) == 2
  assert all("f32" not in line for line in barriers)
  assert "optimization_barrier" not in lowered(run, x, kernel, platform="tpu")


def test_so_is_gelus_slope():
  x = arguments(jnp.bfloat16)["x"]
  assert "optimization_barrier" in lowered(ops.gelu, x, platform="cuda")
  assert "optimization_barrier" not in lowered(ops.gelu, x, platform="cpu")


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_numbers_are_the_same(dtype):
  arrays = tuple(
    arguments(dtype)[name] for name in ("x", "kernel", "bias", "input_bias")
  )
  gradient = jnp.cos(arrays[0])
  on_gpu, elsewhere = (
    depthwise_gelu._way("grouped", 1, True, on_gpu) for on_gpu in (True, False)
  )
  found, expected = (
    jax.jit(way.of("forward"))(*arrays) for way in (on_gpu, elsewhere)
  )
  jax.tree.map(np.testing.assert_array_equal, found, expected)
  kept = expected[1]
  found, expected = (
    jax.jit(way.of("backward"))(kept, gradient) for way in (on_gpu, elsewhere)
  )
  # Sums over positions may be in another order.
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(
      np.float32(a), np.float32(b), rtol=1e-5, atol=1e-5
    ),
    found,
    expected,
  )
