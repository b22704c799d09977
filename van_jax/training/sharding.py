"""Placement on devices: the mesh, batches spread over it, state on each."""

import collections
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

BATCH_AXIS = "batch"


def create_mesh() -> Mesh:
  """Returns a mesh of all devices of all processes along one batch axis."""
  return Mesh(np.array(jax.devices()), (BATCH_AXIS,))


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of what every device holds whole: the state."""
  return NamedSharding(mesh, PartitionSpec())


def split_by_example(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of arrays whose leading axis is the batch."""
  return NamedSharding(mesh, PartitionSpec(BATCH_AXIS))


def shard_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, Any]:
  """Places this process's part of a batch on its devices.

  Args:
    batch: arrays [B / processes, ...], this process's examples.
    mesh: of `create_mesh`.

  Returns:
    Global arrays [B, ...], split over the mesh.
  """
  sharding = split_by_example(mesh)
  return {
    name: jax.make_array_from_process_local_data(sharding, array)
    for name, array in batch.items()
  }


def prefetch(
  batches: Iterable[Mapping[str, np.ndarray]], mesh: Mesh, *, depth: int = 2
) -> Iterator[dict[str, Any]]:
  """Yields device batches, keeping `depth` of them on their way.

  Transfers are asynchronous: a batch travels while the step before it runs.
  """
  queue = collections.deque()
  for batch in batches:
    queue.append(shard_batch(batch, mesh))
    if len(queue) >= depth:
      yield queue.popleft()
  yield from queue


def check_batch_size(name: str, batch_size: int, *, accumulation: int = 1):
  """Checks that a batch divides evenly over micro-batches and devices.

  Raises:
    ValueError: naming the field, its value, and the nearest that fit.
  """
  parts = jax.device_count() * accumulation
  if batch_size < 1 or batch_size % parts:
    below = max(batch_size // parts, 1) * parts
    raise ValueError(
      f"{name}={batch_size} must be a positive multiple of "
      f"{jax.device_count()} devices x {accumulation} micro-batches = "
      f"{parts}; use {below} or {below + parts}, or another number of "
      "devices."
    )
