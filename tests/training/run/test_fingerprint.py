"""The checksum of a state: every bit of every array counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import parallel
from van_jax.training.run import fingerprint


def tree(step=3, bias=0.5):
  return {
    "step": jnp.int32(step),
    "bias": np.array([bias, 1.0], np.float32),
    "half": jnp.zeros((2, 3), jnp.bfloat16),
  }


def test_equal_trees_have_equal_fingerprints():
  assert fingerprint.fingerprint(tree()) == fingerprint.fingerprint(tree())


@pytest.mark.parametrize(
  "changes", [{"step": 4}, {"bias": np.nextafter(np.float32(0.5), 1)}]
)
def test_one_changed_bit_changes_it(changes):
  other = fingerprint.fingerprint(tree(**changes))
  assert other != fingerprint.fingerprint(tree())


def test_values_that_change_places_change_it():
  one = {"a": jnp.float32(1), "b": jnp.float32(2)}
  other = {"a": jnp.float32(2), "b": jnp.float32(1)}
  assert fingerprint.fingerprint(one) != fingerprint.fingerprint(other)


def test_devices_do_not_matter():
  whole = parallel.replicated(parallel.create_mesh())
  on_eight = jax.device_put(tree(), whole)
  assert fingerprint.fingerprint(on_eight) == fingerprint.fingerprint(tree())


def test_memory_order_does_not_matter():
  array = np.arange(6.0).reshape(2, 3)
  in_columns = np.asfortranarray(array)
  assert fingerprint.fingerprint(array) == fingerprint.fingerprint(in_columns)
