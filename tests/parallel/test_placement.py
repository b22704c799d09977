"""Which part of a state lies where."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from van_jax import errors, parallel
from van_jax.parallel import placement


def test_examples_of_specs():
  results = doctest.testmod(placement)
  assert results.attempted
  assert not results.failed


def test_the_first_of_the_largest_axes_is_split():
  assert placement.spec((1, 1, 256, 256), 8) == PartitionSpec(
    None, None, "fsdp"
  )
  # 1000 is larger, and 16 does not divide it.
  assert placement.spec((256, 1000), 16) == PartitionSpec("fsdp")


@pytest.mark.parametrize("make", [optax.adamw, optax.lion, optax.lamb])
def test_moments_lie_as_their_parameters(make):
  params = {"kernel": jnp.zeros((1, 1, 128, 256)), "bias": jnp.zeros(256)}
  mesh = parallel.create_mesh(fsdp=4)
  of_params = parallel.state_shardings(params, mesh)
  of_moments = parallel.state_shardings(make(1e-3).init(params), mesh)
  assert of_params["kernel"].spec == PartitionSpec(None, None, None, "fsdp")
  assert of_params["bias"].spec == PartitionSpec()
  found = [
    x.spec for x in jax.tree.leaves(of_moments) if x.spec != PartitionSpec()
  ]
  assert found
  assert set(found) == {of_params["kernel"].spec}


def test_a_split_that_no_array_can_take_is_refused():
  params = {"a": jnp.zeros((3, 3, 99, 99)), "b": jnp.zeros(8)}
  mesh = parallel.create_mesh(fsdp=4)
  message = r"fsdp=4 splits nothing .* 16,384 .*\[3, 3, 99, 99\].*mesh.fsdp=1"
  with pytest.raises(errors.UserError, match=message):
    parallel.check_fsdp(params, mesh)
  parallel.check_fsdp(params, parallel.create_mesh(fsdp=1))
  parallel.check_fsdp({"a": jnp.zeros((128, 128))}, mesh)


def test_what_is_split_comes_back_whole():
  mesh = parallel.create_mesh(fsdp=8)
  array = np.arange(1 << 14, dtype=np.float32).reshape(128, 128)
  tree = {"a": array, "b": np.ones(3, np.float32)}
  split = jax.device_put(tree, parallel.state_shardings(tree, mesh))
  assert split["a"].addressable_shards[0].data.shape == (16, 128)
  assert parallel.shard_bytes(split) == array.nbytes // 8 + 12
  whole = parallel.whole_on_first(split, mesh)
  assert all(isinstance(leaf, np.ndarray) for leaf in whole.values())
  jax.tree.map(np.testing.assert_array_equal, whole, tree)
