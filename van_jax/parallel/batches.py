"""Batches on their way to the devices: sizes that divide, reading ahead."""

import collections
from collections.abc import Iterable, Iterator, Mapping
from concurrent import futures
from typing import Any

import jax
from jax.sharding import Mesh

from van_jax import errors
from van_jax.parallel.mesh import split_by_example


def shard_batch(batch: Mapping[str, Any], mesh: Mesh) -> dict[str, Any]:
  """Places this process's part of a batch on its devices.

  Args:
    batch: arrays [B / processes, ...], or tuples of such, this process's
      examples.
    mesh: of `create_mesh`.

  Returns:
    Global arrays [B, ...], split over the mesh.
  """
  sharding = split_by_example(mesh)
  return jax.tree.map(
    lambda array: jax.make_array_from_process_local_data(sharding, array),
    dict(batch),
  )


def prefetch(
  batches: Iterable[Mapping[str, Any]], mesh: Mesh, *, depth: int = 2
) -> Iterator[dict[str, Any]]:
  """Yields device batches, keeping `depth` more of them on their way.

  A thread reads and sends them, so that one that is there is handed out at
  once, and the device has its next step, while the one after it is read.

  Args:
    batches: this process's parts of batches; read by the thread alone.
    mesh: of `create_mesh`.
    depth: batches read ahead of the one that is handed out, at least 1.
  """
  iterator = iter(batches)

  def send():
    batch = next(iterator, None)
    return None if batch is None else shard_batch(batch, mesh)

  pool = futures.ThreadPoolExecutor(1, thread_name_prefix="prefetch")
  try:
    queue = collections.deque(pool.submit(send) for _ in range(depth))
    while (batch := queue.popleft().result()) is not None:
      queue.append(pool.submit(send))
      yield batch
  finally:  # Also when the run stops early: nothing more is read.
    pool.shutdown(cancel_futures=True)


def check_batch_size(
  name: str,
  batch_size: int,
  *,
  accumulation: int = 1,
  devices: int | None = None,
):
  """Checks that a batch divides evenly over micro-batches and devices.

  Args:
    name: of the field.
    batch_size: its value.
    accumulation: micro-batches that a batch is cut into.
    devices: of the mesh; None for all that there are.

  Raises:
    UserError: naming the field, its value, and the nearest that fit.
  """
  devices = devices or jax.device_count()
  parts = devices * accumulation
  if batch_size < 1 or batch_size % parts:
    below = max(batch_size // parts, 1) * parts
    raise errors.UserError(
      f"{name}={batch_size} must be a positive multiple of "
      f"{devices} devices x {accumulation} micro-batches = "
      f"{parts}; use {below} or {below + parts}, or another number of "
      "devices."
    )
