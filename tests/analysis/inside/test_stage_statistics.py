"""Statistics of stages against NumPy's, of the features themselves."""

from typing import Any

import jax
import numpy as np
import pytest

from van_jax import errors
from van_jax.analysis import stage_statistics


@pytest.fixture(scope="module")
def network(make_small):
  """Returns a network whose third stage has two channels that are constant."""
  model, variables = make_small()
  variables["params"]["patch_embed3"]["norm"] = {
    "scale": np.array([1, 0, 1, 0], np.float32),
    "bias": np.array([0, 2, 0, 1], np.float32),
  }
  block = variables["params"]["block3_0"]
  for half in ("layer_scale_1", "layer_scale_2"):
    block[half] = np.array([1, 0, 1, 0], np.float32)
  return model, variables


@pytest.fixture(scope="module")
def images():
  """Returns four images."""
  return np.random.default_rng(1).standard_normal((4, 32, 32, 3), "f")


def test_statistics_are_of_the_features_before_the_norm(network, images):
  model, variables = network

  @jax.jit
  def captured(variables, images):
    return model.apply(
      variables,
      images,
      mutable=["intermediates"],
      capture_intermediates=lambda module, _: module.name == "block2_0",
    )[1]["intermediates"]["block2_0"]["__call__"]

  (features,) = captured(variables, images)
  rows = np.asarray(features, np.float64).reshape(-1, 4)
  ours = stage_statistics(model, variables, images, batch_size=2)["stage2"]
  # Sums in float64 of float32 features that two programs computed.
  close: Any = {"rtol": 1e-5, "atol": 1e-6}
  np.testing.assert_allclose(ours.mean, rows.mean(), **close)
  np.testing.assert_allclose(ours.std, rows.std(), **close)
  np.testing.assert_allclose(ours.channel_mean, rows.mean(0), **close)
  np.testing.assert_allclose(ours.channel_std, rows.std(0), **close)
  lengths = np.sqrt((rows**2).sum(1))
  np.testing.assert_allclose(ours.norm, lengths.mean(), **close)
  values = np.linalg.svd(rows - rows.mean(0), compute_uv=False)
  parts = values / values.sum()
  rank = np.exp(-np.sum(parts * np.log(parts)))
  np.testing.assert_allclose(ours.effective_rank, rank, **close)
  assert ours.dead_channels == 0


def test_channels_that_never_change_are_dead(network, images):
  model, variables = network
  ours = stage_statistics(model, variables, images, batch_size=2)["stage3"]
  assert ours.dead_channels == 2
  np.testing.assert_allclose(ours.channel_mean[[1, 3]], (2, 1), rtol=1e-6)
  assert 1 <= ours.effective_rank <= 2


def test_no_image_has_no_statistics(network, images):
  model, variables = network
  with pytest.raises(errors.UserError, match="0 images"):
    stage_statistics(model, variables, images[:0])
