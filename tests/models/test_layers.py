"""Layers against their formulas."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from van_jax import models
from van_jax.models import layers
from van_jax.models.batch_norm import BatchNorm


def init(module, x, **options) -> Any:
  run = functools.partial(module.init, **options)
  return jax.jit(run)(jax.random.key(1), x)


def apply(module, variables, x, **options) -> Any:
  return jax.jit(functools.partial(module.apply, **options))(variables, x)


def test_lka_sees_23_pixels_each_way():  # 5 + (7 - 1) * 3.
  lka = models.LargeKernelAttention()
  x = jax.random.normal(jax.random.key(0), (1, 41, 41, 2))
  variables = init(lka, x)
  view = models.LargeKernelAttention(gate="none")
  seen = jax.grad(lambda x: jnp.sum(apply(view, variables, x)[0, 20, 20]))(x)
  rows, columns = np.nonzero(np.abs(seen).sum((0, 3)))
  assert (rows.min(), rows.max()) == (20 - 11, 20 + 11)
  assert (columns.min(), columns.max()) == (20 - 11, 20 + 11)


@pytest.mark.parametrize(
  ("gate", "formula"),
  [
    ("multiply", lambda x, view: x * view),
    ("add", lambda x, view: x + view),
    ("sigmoid", lambda x, view: x / (1 + jnp.exp(-view))),
    ("none", lambda x, view: view),
  ],
)
def test_gates_equal_their_formulas(gate, formula):
  x = jax.random.normal(jax.random.key(0), (2, 6, 6, 3))
  lka = models.LargeKernelAttention(gate=gate)
  variables = init(lka, x)
  view = apply(models.LargeKernelAttention(gate="none"), variables, x)
  np.testing.assert_allclose(
    apply(lka, variables, x), formula(x, view), rtol=1e-6, atol=1e-6
  )


def test_lka_without_a_convolution_lacks_its_parameters():
  x = jnp.ones((1, 8, 8, 4))
  convs = {"depthwise": "conv0", "dilated": "conv_spatial"}
  for conv, name in (convs | {"pointwise": "conv1"}).items():
    lka = models.LargeKernelAttention(convs=(conv,))
    assert set(init(lka, x)["params"]) == {name}
  dense = models.LargeKernelAttention(convs=("dense",), kernel_size=5)
  params = init(dense, x)["params"]
  assert params["conv_dense"]["kernel"].shape == (5, 5, 4, 4)


def test_drop_path_drops_whole_examples_and_scales_the_rest():
  drop = layers.DropPath(0.25)
  y = drop.apply(
    {},
    jnp.ones((400, 2, 2, 3)),
    train=True,
    rngs={"dropout": jax.random.key(0)},
  )
  per_example = np.asarray(y).reshape(400, -1)
  assert np.all(per_example == per_example[:, :1])
  assert set(np.unique(per_example)) == {0, np.float32(1 / 0.75)}
  # 4 deviations of a mean of 400 draws: sqrt(.25 * .75 / 400) = 0.022.
  assert abs(np.mean(per_example[:, 0] > 0) - 0.75) < 0.09


def test_drop_path_is_identity_in_evaluation():
  x = jnp.ones((4, 2, 2, 3))
  np.testing.assert_array_equal(
    layers.DropPath(0.9).apply({}, x, train=False), x
  )


def test_depthwise_init_has_the_official_deviation():
  # normal(0, sqrt(2 / (k * k * out / groups))), and out = groups.
  layer = layers.Depthwise(7)
  x = jnp.ones((1, 8, 8, 512))
  kernel = init(layer, x)["params"]["kernel"]
  # 25,088 draws: the deviation is known to 0.45 %; 4 of those.
  np.testing.assert_allclose(np.std(kernel), np.sqrt(2 / 49), rtol=0.018)


def test_pointwise_init_has_the_official_deviation():
  layer = layers.Pointwise(64)
  x = jnp.ones((1, 1, 1, 512))
  kernel = init(layer, x)["params"]["kernel"]
  np.testing.assert_allclose(np.std(kernel), np.sqrt(2 / 64), rtol=0.018)


def test_head_and_patch_init_have_the_official_deviations():
  model = models.VAN((64, 8, 8, 64), (1,) * 4, (1,) * 4, num_classes=400)
  params = init(model, jnp.ones((1, 32, 32, 3)))["params"]
  head, patch = params["head"]["kernel"], params["patch_embed1"]["proj"]
  np.testing.assert_allclose(np.std(head), 0.02, rtol=0.018)
  np.testing.assert_allclose(
    np.std(patch["kernel"]), np.sqrt(2 / (49 * 64)), rtol=0.03
  )
  assert not np.any(patch["bias"])


@pytest.mark.parametrize("train", [True, False])
def test_batch_norm_equals_torch(train):
  rng = np.random.default_rng(0)
  x = rng.normal(3, 2, (4, 5, 6, 7)).astype(np.float32)
  theirs = torch.nn.BatchNorm2d(7).train(train)
  layer = BatchNorm()
  variables = init(layer, x, train=False)
  for _ in range(3):
    ours, new = apply(layer, variables, x, train=train, mutable=["batch_stats"])
    variables = variables | new
    exact = theirs(torch.from_numpy(x).permute(0, 3, 1, 2))
  exact = exact.permute(0, 2, 3, 1).detach().numpy()
  stats, running = variables["batch_stats"], theirs.state_dict()
  # A few roundings of float32 each.
  np.testing.assert_allclose(ours, exact, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(stats["mean"], running["running_mean"], rtol=1e-5)
  np.testing.assert_allclose(stats["var"], running["running_var"], rtol=1e-5)


def test_batch_norm_variance_survives_a_large_mean():
  # In one pass E[x^2] - E[x]^2 has 1e8 * 6e-8 = 6 of error at variance 1.
  x = 1e4 + jax.random.normal(jax.random.key(0), (64, 4, 4, 2))
  layer = BatchNorm()
  variables = init(layer, x, train=False)
  y, _ = apply(layer, variables, x, train=True, mutable=["batch_stats"])
  np.testing.assert_allclose(np.std(y, (0, 1, 2)), 1, rtol=0.01)
