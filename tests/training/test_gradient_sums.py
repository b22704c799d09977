"""What gradients are summed in over devices, by the compiled program.

XLA's CPU backend widens bfloat16 late, and libtpu does not: what is read is the
program right after it was split over devices, which is that of all platforms.
"""

import pathlib
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest

from van_jax import parallel
from van_jax.models import layers, strided
from van_jax.training import state as state_lib, step as step_lib


class Network(nn.Module):
  """Every layer of ours that has a kernel."""

  implementation: str

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [B, H, W, 3] to [B, 64]."""
    run = {"implementation": self.implementation, "dtype": jnp.bfloat16}
    x = strided.StridedConv(32, 3, 2, **run)(x)
    x = layers.Pointwise(64, **run)(x)
    x = layers.Depthwise(5, dilation=2, **run)(x)
    x = layers.FeedForward(2, **run)(x, train=train)
    return jnp.mean(x, (1, 2), dtype=jnp.float32)


def sums(implementation, kernel_dtype, folder):
  """Returns (dtype, shape) of all that a step sums over eight devices."""
  mesh = parallel.create_mesh(fsdp=4)
  network, optimizer = Network(implementation), optax.sgd(1.0)

  def create():
    images = jnp.zeros((1, 8, 8, 3))
    params = network.init(jax.random.key(0), images, train=False)
    return state_lib.create_state(
      {"batch_stats": {}, **params}, optimizer, ema=False
    )

  step = step_lib.make_train_step(
    apply=network.apply,
    optimizer=optimizer,
    schedule=optax.constant_schedule(1.0),
    prepare=lambda key, batch: (batch["image"], batch["target"]),
    loss=lambda outputs, targets: (jnp.mean((outputs - targets) ** 2), {}),
    root_key=jax.random.key(0),
    mesh=mesh,
    kernel_dtype=kernel_dtype,
  )
  split = parallel.split_by_example(mesh)
  batch = {
    name: jax.ShapeDtypeStruct(shape, jnp.float32, sharding=split)
    for name, shape in {"image": (16, 8, 8, 3), "target": (16, 64)}.items()
  }
  state = parallel.with_shardings(jax.eval_shape(create), mesh)
  # The folder is part of the cache's key: it is compiled.
  step.lower(state, batch).compile(
    {"xla_dump_to": str(folder), "xla_dump_hlo_pass_re": "spmd-partition.*"}
  )
  (file,) = pathlib.Path(folder).glob("*train_step*after_spmd-partitioning*")
  return re.findall(r"= (\w+)\[([\d,]*)\]\S* all-reduce\(", file.read_text())


@pytest.mark.parametrize("implementation", ["auto", "xla"])
def test_all_sums_are_in_float32(implementation, tmp_path):
  found = sums(implementation, None, tmp_path)
  assert len(found) >= 11  # A gradient for each kernel and bias, and the loss.
  assert {dtype for dtype, _ in found} == {"f32"}


def test_kernels_in_bfloat16_are_summed_so_and_biases_are_not(tmp_path):
  found = sums("xla", "bfloat16", tmp_path)
  narrow = [shape for dtype, shape in found if dtype == "bf16"]
  assert {"3,3,3,32", "5,5,1,64", "3,3,1,128"} <= set(narrow)
  assert "64" not in narrow
