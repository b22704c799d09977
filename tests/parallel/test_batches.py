"""Placement: batches over devices, in order; sizes that do not divide."""

import threading
import time
from typing import Any

import jax
import numpy as np
import pytest

from van_jax import parallel


@pytest.fixture(scope="module")
def mesh():
  return parallel.create_mesh()


def numbered(count):
  return [{"label": np.full(8, i, np.int32)} for i in range(count)]


@pytest.mark.parametrize("size", [8, 64])
def test_a_multiple_of_the_devices_is_fine(size):
  parallel.check_batch_size("batch_size", size)


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
    parallel.check_batch_size("batch_size", size, accumulation=accumulation)


def test_each_device_gets_its_consecutive_share(mesh):
  batch = parallel.shard_batch({"label": np.arange(16)}, mesh)["label"]
  for shard in batch.addressable_shards:
    first = 2 * jax.devices().index(shard.device)
    np.testing.assert_array_equal(shard.data, [first, first + 1])


def test_a_batch_may_have_images_in_several_sizes(mesh):
  images = tuple(np.ones((8, size, size, 3), np.uint8) for size in (2, 4))
  placed = parallel.shard_batch({"image": images}, mesh)["image"]
  assert [image.shape for image in placed] == [(8, 2, 2, 3), (8, 4, 4, 3)]
  assert [len(image.addressable_shards) for image in placed] == [8, 8]


@pytest.mark.parametrize("depth", [1, 2, 5, 9])
def test_prefetch_yields_all_and_in_order(mesh, depth):
  batches = parallel.prefetch(numbered(5), mesh, depth=depth)
  assert [int(b["label"][0]) for b in batches] == [0, 1, 2, 3, 4]


class Gate:
  """Batches that come when they are let through."""

  def __init__(self, count):
    self.batches = iter(numbered(count))
    self.open = threading.Semaphore(0)
    self.read = 0

  def __iter__(self):
    """Returns itself."""
    return self

  def __next__(self):
    """Returns the next batch, once it is let through."""
    assert self.open.acquire(timeout=10)
    self.read += 1
    return next(self.batches)

  def let(self, count):
    """Lets that many batches through."""
    self.open.release(count)


def wait_until(true):
  """Waits for another thread; fails after half a minute."""
  deadline = time.monotonic() + 30
  while not true():
    assert time.monotonic() < deadline
    time.sleep(1e-3)


def test_a_batch_that_is_there_does_not_wait_for_the_next(mesh):
  gate = Gate(9)
  batches = parallel.prefetch(gate, mesh, depth=2)
  for i in range(3):
    gate.let(1)  # Asked for one more, the gate fails.
    assert int(next(batches)["label"][0]) == i
  gate.let(9)


def test_prefetch_reads_depth_batches_ahead_and_no_more(mesh):
  gate = Gate(99)
  gate.let(99)
  batches = parallel.prefetch(gate, mesh, depth=3)
  for done in (1, 2, 3):
    next(batches)
    wait_until(lambda done=done: gate.read == done + 3)
  time.sleep(0.05)  # For a reader that does not stop there.
  assert gate.read == 6


def test_prefetch_raises_what_its_source_does_in_its_turn(mesh):
  def source():
    yield from numbered(2)
    raise ValueError("damaged")

  batches = parallel.prefetch(source(), mesh)
  assert [int(next(batches)["label"][0]) for _ in range(2)] == [0, 1]
  with pytest.raises(ValueError, match="damaged"):
    next(batches)


def test_prefetch_that_is_left_reads_no_more_and_leaves_no_thread(mesh):
  gate = Gate(99)
  gate.let(99)
  batches: Any = parallel.prefetch(gate, mesh, depth=3)
  next(batches)
  batches.close()
  assert gate.read <= 4
  names = [thread.name for thread in threading.enumerate()]
  assert not [name for name in names if name.startswith("prefetch")]


def test_replicated_arrays_are_whole_on_each_device(mesh):
  array = jax.device_put(np.arange(5), parallel.replicated(mesh))
  assert len(array.addressable_shards) == 8
  assert all(shard.data.shape == (5,) for shard in array.addressable_shards)
