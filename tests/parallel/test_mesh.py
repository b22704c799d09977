"""The mesh: its axes, slices one after the other, sizes that do not divide."""

import types

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from van_jax import errors, parallel


def slices(count, size):
  """Returns devices of several slices, in a shuffled order."""
  return [
    types.SimpleNamespace(
      platform="cpu", device_kind="none", slice_index=s, id=s * size + n
    )
    for n in range(size)
    for s in range(count)
  ]


@pytest.mark.parametrize(("fsdp", "shape"), [(1, (8, 1)), (4, (2, 4))])
def test_data_has_what_fsdp_leaves(fsdp, shape):
  mesh = parallel.create_mesh(fsdp=fsdp)
  assert mesh.axis_names == parallel.BATCH_AXES == ("data", "fsdp")
  assert mesh.devices.shape == shape


def test_the_batch_is_split_over_both_axes_major_to_minor():
  mesh = parallel.create_mesh(fsdp=4)
  spec = parallel.split_by_example(mesh).spec
  assert spec == PartitionSpec(("data", "fsdp"))
  array = jax.device_put(np.arange(8), parallel.split_by_example(mesh))
  for shard in array.addressable_shards:
    assert mesh.devices.flat[int(shard.data[0])] == shard.device


def test_slices_come_one_after_the_other_along_data(monkeypatch):
  monkeypatch.setattr("van_jax.parallel.mesh.Mesh", lambda grid, axes: grid)
  grid = parallel.create_mesh(slices(2, 4), fsdp=2)
  found = np.vectorize(lambda device: device.slice_index)(grid)
  np.testing.assert_array_equal(found, [[0, 0], [0, 0], [1, 1], [1, 1]])


@pytest.mark.parametrize(
  ("devices", "fsdp", "message"),
  [
    (None, 16, r"fsdp=16 must divide the 8 devices that there are.*1, 2, 4, 8"),
    (None, 3, r"fsdp=3 must divide the 8"),
    (None, 0, r"fsdp=0 must divide"),
    (slices(2, 4), 8, r"fsdp=8 must divide the 4 devices that a slice has"),
  ],
)
def test_what_the_devices_cannot_share_is_refused(devices, fsdp, message):
  with pytest.raises(errors.UserError, match=message):
    parallel.create_mesh(devices, fsdp=fsdp)
