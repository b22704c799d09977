"""The checksum on devices: NumPy's, on any mesh, of every bit and place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import parallel
from van_jax.training.run import checksum

DTYPES = ["float32", "bfloat16", "int32", "uint8", "bool", "complex64"]


def sums(tree):
  return checksum.checksums({"part": tree})["part"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_devices_sum_what_numpy_sums_on_any_mesh(dtype):
  array = np.arange(96).reshape(8, 12).astype(jnp.dtype(dtype))
  mesh = parallel.create_mesh()
  split = jax.device_put(array, parallel.split_by_example(mesh))
  whole = jax.device_put(array, parallel.replicated(mesh))
  assert sums([array]) == sums([whole]) == sums([split])


def test_a_bit_or_a_place_that_changes_changes_it():
  tree = [jnp.arange(5.0), jnp.float32(7)]
  swapped = [jnp.asarray([1.0, 0, 2, 3, 4]), jnp.float32(7)]
  flipped = [jnp.arange(5.0), jnp.nextafter(jnp.float32(7), 8)]
  assert len({sums(tree), sums(swapped), sums(flipped)}) == 3


def test_random_keys_count():
  assert sums([jax.random.key(1)]) != sums([jax.random.key(2)])


@pytest.mark.parametrize("axis", [0, 1])
def test_shards_are_summed_where_they_lie(axis):
  """Flattened, shards of a trailing axis would be gathered on every device."""
  mesh = jax.sharding.Mesh(np.array(jax.devices()).reshape(2, 4), ("d", "f"))
  spec = jax.sharding.PartitionSpec(*[None] * axis, "f")
  array = np.arange(96, dtype=np.float32).reshape(8, 12)
  split = jax.device_put(array, jax.sharding.NamedSharding(mesh, spec))
  tree = [split, split * 2]
  assert sums(tree) == sums([array, array * 2])
  program = checksum._device_sums.lower(
    {"part": tree}, checksum._sum_of_stacks
  ).compile()
  text = str(program.as_text())
  assert "all-reduce" in text
  for moving in ("all-gather", "all-to-all", "collective-permute"):
    assert moving not in text
