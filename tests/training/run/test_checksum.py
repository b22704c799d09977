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
