"""BatchNorm folded away: the same network, to rounding."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import models

SIZES = {
  "widths": (8, 12, 16, 20),
  "depths": (1, 2, 1, 1),
  "ffn_ratios": (2, 2, 2, 2),
  "num_classes": 7,
  "implementation": "xla",
}


def _apply(model: models.VAN, variables, images, **options) -> Any:
  run = functools.partial(model.apply, train=False, **options)
  return jax.jit(run)(variables, images)


def _trained_like(model):
  """Returns variables whose norms, scales and biases are far from 1 and 0."""
  images = jnp.zeros((1, 64, 64, 3))
  variables = jax.jit(model.init)(jax.random.key(0), images)
  rng = np.random.default_rng(0)

  def drawn(path, x):
    name = path[-1].key
    if name in ("scale", "var") or name.startswith("layer_scale"):
      return jnp.asarray(rng.uniform(0.3, 2, x.shape), x.dtype)
    if name in ("bias", "mean"):
      return jnp.asarray(rng.normal(0, 0.5, x.shape), x.dtype)
    return x

  return jax.tree_util.tree_map_with_path(drawn, variables)


@pytest.mark.parametrize(
  "options",
  [
    {},
    {"layer_scale_init": None},
    {"attention": {"name": "lka", "gate": "sigmoid"}},
    {"num_classes": 0},
  ],
)
def test_folded_network_is_the_same(options):
  model = models.VAN(**(SIZES | options))
  variables = _trained_like(model)
  images = jax.random.normal(jax.random.key(1), (2, 65, 64, 3))
  expected = _apply(model, variables, images)
  folded, kernels = models.fold_batch_norm(model, variables)
  found = _apply(folded, kernels, images)
  # Float32 rounds at 6e-8 a step; 6 blocks here, of some ten steps each.
  spread = float(jnp.std(expected))
  np.testing.assert_allclose(found, expected, atol=2e-5 * spread, rtol=0)


def test_features_are_the_same_maps():
  model = models.VAN(**SIZES)
  variables = _trained_like(model)
  images = jax.random.normal(jax.random.key(1), (2, 64, 64, 3))
  folded, kernels = models.fold_batch_norm(model, variables)
  for found, expected in zip(
    _apply(folded, kernels, images, method="features"),
    _apply(model, variables, images, method="features"),
    strict=True,
  ):
    # Values of a LayerNorm, order 1 to 4; some sixty roundings of 6e-8 before.
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_nothing_of_batch_norm_is_left():
  model = models.VAN(**SIZES)
  folded, kernels = models.fold_batch_norm(model, _trained_like(model))
  made = jax.eval_shape(
    lambda: folded.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
  )
  assert jax.tree.map(jnp.shape, kernels) == jax.tree.map(jnp.shape, made)
  assert set(kernels) == {"params"}


def test_folded_network_does_not_train():
  model = models.VAN(**SIZES)
  folded, kernels = models.fold_batch_norm(model, _trained_like(model))
  with pytest.raises(ValueError, match="train=True with folded=True"):
    folded.apply(kernels, jnp.zeros((2, 64, 64, 3)), train=True)
  with pytest.raises(ValueError, match="folded already"):
    models.fold_batch_norm(folded, kernels)
