"""Claims about what a frozen pattern means, wherever the VAN lies."""

import jax
import jax.numpy as jnp
import pytest

from van_jax.training.recipe import freezing


def test_a_pattern_matches_whole_paths():
  tree = {"proj": jnp.zeros(1), "proj_1": jnp.zeros(1)}
  labels = freezing.freeze_labels(tree, ["proj"])
  assert labels == {"proj": "frozen", "proj_1": "trained"}


@pytest.mark.parametrize("pattern", ["norm1/.*", "backbone/norm1/.*"])
def test_a_pattern_may_begin_at_the_van(params, pattern):
  labels = freezing.freeze_labels(
    {"backbone": params, "head": params}, [pattern]
  )
  assert set(jax.tree.leaves(labels["backbone"].pop("norm1"))) == {"frozen"}
  assert set(jax.tree.leaves(labels["backbone"])) == {"trained"}


def test_a_pattern_means_nothing_within_another_part(params):
  tree = {"backbone": params, "decoder": {"norm1": {"bias": jnp.zeros(2)}}}
  labels = freezing.freeze_labels(tree, ["norm1/.*"])
  assert labels["decoder"] == {"norm1": {"bias": "trained"}}


def test_no_pattern_freezes_nothing(params):
  assert freezing.stop_frozen(params, ()) is params
