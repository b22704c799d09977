"""Placement: batches over devices, in order; sizes that do not divide."""

import jax
import numpy as np
import pytest

from van_jax.training import sharding


@pytest.fixture(scope="module")
def mesh():
  return sharding.create_mesh()


def numbered(count):
  return [{"label": np.full(8, i, np.int32)} for i in range(count)]


@pytest.mark.parametrize("size", [8, 64])
def test_a_multiple_of_the_devices_is_fine(size):
  sharding.check_batch_size("batch_size", size)


@pytest.mark.parametrize(
  ("size", "accumulation", "message"),
  [
    (12, 1, "batch_size=12 .*8 devices x 1 micro-batches = 8; use 8 or 16"),
    (24, 2, "batch_size=24 .*8 devices x 2 micro-batches = 16; use 16 or 32"),
    (4, 1, "use 8 or 16"),
    (0, 1, "positive"),
    (-8, 1, "positive"),
  ],
)
def test_other_sizes_are_refused_with_the_nearest(size, accumulation, message):
  with pytest.raises(ValueError, match=message):
    sharding.check_batch_size("batch_size", size, accumulation=accumulation)


def test_each_device_gets_its_consecutive_share(mesh):
  batch = sharding.shard_batch({"label": np.arange(16)}, mesh)["label"]
  for shard in batch.addressable_shards:
    first = 2 * jax.devices().index(shard.device)
    np.testing.assert_array_equal(shard.data, [first, first + 1])


@pytest.mark.parametrize("depth", [1, 2, 5, 9])
def test_prefetch_yields_all_and_in_order(mesh, depth):
  batches = sharding.prefetch(numbered(5), mesh, depth=depth)
  assert [int(b["label"][0]) for b in batches] == [0, 1, 2, 3, 4]


def test_prefetch_is_depth_batches_ahead_and_no_more(mesh):
  read = []
  source = (read.append(i) or batch for i, batch in enumerate(numbered(9)))
  batches = sharding.prefetch(source, mesh, depth=3)
  next(batches)
  assert len(read) == 3
  next(batches)
  assert len(read) == 4


def test_replicated_arrays_are_whole_on_each_device(mesh):
  array = jax.device_put(np.arange(5), sharding.replicated(mesh))
  assert len(array.addressable_shards) == 8
  assert all(shard.data.shape == (5,) for shard in array.addressable_shards)
