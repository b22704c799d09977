"""Claims about random streams."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax.training import randomness


def bits(key):
  return np.asarray(jax.random.key_data(key)).tolist()


def test_stream_depends_on_no_process(key):
  # zlib.crc32(b"mixing"), written out: hash() would change with each process.
  expected = jax.random.fold_in(jax.random.fold_in(key, 0x50AF6215), 3)
  assert bits(randomness.stream(key, "mixing", 3)) == bits(expected)


def test_stream_is_the_same_with_a_traced_step(key):
  traced = jax.jit(lambda step: randomness.stream(key, "mixing", step))
  expected = randomness.stream(key, "mixing", 7)
  assert bits(traced(jnp.int32(7))) == bits(expected)


@pytest.mark.parametrize(
  ("seed", "name", "step"),
  [(1, "mixing", 3), (0, "dropout", 3), (0, "mixing", 4)],
)
def test_stream_changes_with_seed_name_and_step(seed, name, step):
  other = randomness.stream(jax.random.key(seed), name, step)
  base = randomness.stream(jax.random.key(0), "mixing", 3)
  assert bits(other) != bits(base)
