"""A model with a VAN inside trains with all of the recipe."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from van_jax import parallel
from van_jax.training import state as state_lib, step as step_lib
from van_jax.training.recipe import (
  freezing,
  layer_decay,
  optimizers,
  pretrained,
)

FROZEN = ("(patch_embed1|block1_.*|norm1)/.*",)


class Counter(nn.Module):
  """Two numbers an image, from the pooled features of a VAN."""

  backbone: nn.Module

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [B, H, W, 3] to [B, 2]."""
    return nn.Dense(2, name="head")(self.backbone(x, train=train))


@pytest.fixture(scope="module")
def trained(narrow_van):
  """Returns the variables before and after one step of a fine-tuning."""
  backbone = narrow_van(num_classes=0)
  model: Any = Counter(backbone)
  images = jnp.asarray(
    np.random.default_rng(0).normal(size=(8, 32, 32, 3)), jnp.float32
  )

  def init(model, seed) -> Any:
    run = jax.jit(functools.partial(model.init, train=False))
    return run(jax.random.key(seed), images[:1])

  van, fresh = init(narrow_van(num_classes=7), 1), init(model, 2)
  van, fresh = jax.device_get((van, fresh))  # The step consumes its state.
  start = pretrained.merge(fresh, van)
  optimizer = optimizers.create_optimizer(
    schedule=optax.constant_schedule(1e-2),
    name="sgd",
    options={"momentum": 0.0},
    weight_decay=0.0,
    layer_decay=0.5,
    frozen_patterns=FROZEN,
  )
  mesh = parallel.create_mesh()
  train_step = step_lib.make_train_step(
    apply=model.apply,
    optimizer=optimizer,
    schedule=optax.constant_schedule(1e-2),
    prepare=lambda key, batch: (batch["image"], batch["target"]),
    loss=lambda outputs, targets: (jnp.mean((outputs - targets) ** 2), {}),
    root_key=jax.random.key(0),
    mesh=mesh,
    freeze=lambda params: freezing.stop_frozen(params, FROZEN),
  )
  state = jax.device_put(
    state_lib.create_state(start, optimizer, ema=False),
    parallel.replicated(mesh),
  )
  batch = {"image": np.asarray(images), "target": np.ones((8, 2), np.float32)}
  state, _ = train_step(state, parallel.shard_batch(batch, mesh))
  return van, fresh, start, jax.device_get(state)


def test_the_pretrained_van_lies_below_its_prefix(trained):
  van, fresh, start, _ = trained
  expected = {name: van["params"][name] for name in van["params"]}
  del expected["head"]  # The backbone has none.
  np.testing.assert_equal(start["params"]["backbone"], expected)
  np.testing.assert_equal(start["batch_stats"]["backbone"], van["batch_stats"])
  np.testing.assert_equal(start["params"]["head"], fresh["params"]["head"])


def test_the_frozen_stage_stays_and_the_rest_moves(trained):
  _, _, start, state = trained
  before, after = start["params"], state.params
  for name in ("patch_embed1", "block1_0", "norm1"):
    np.testing.assert_equal(after["backbone"][name], before["backbone"][name])
  for name in ("block2_0", "block4_0"):
    kernel = after["backbone"][name]["mlp"]["fc1"]["kernel"]
    assert np.any(kernel != before["backbone"][name]["mlp"]["fc1"]["kernel"])
  assert np.any(after["head"]["kernel"] != before["head"]["kernel"])


def test_every_parameter_has_the_rate_of_its_layer(trained):
  _, _, start, _ = trained
  scales = layer_decay.layer_scales(start["params"], 0.5)
  of = {
    name: set(jax.tree.leaves(scales["backbone"][name]))
    for name in scales["backbone"]
  }
  # Four blocks: layers 1 to 4 below the head's 5.
  assert of["patch_embed1"] == {0.5**5}
  assert of["block1_0"] == of["norm1"] == {0.5**4}
  assert of["block4_0"] == {0.5}
  assert set(jax.tree.leaves(scales["head"])) == {1.0}
