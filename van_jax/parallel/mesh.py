"""The mesh of devices, and how batches lie on it."""

import os
from collections.abc import Sequence
from typing import Any

import jax
from jax.experimental import mesh_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from van_jax import errors

# The batch is split over both, major to minor; the state over the latter.
BATCH_AXES = ("data", "fsdp")


def check_platforms() -> None:
  """Touches the devices, for the first time.

  Raises:
    UserError: when JAX finds none of the kinds that it was told to use.
  """
  try:
    jax.devices()
  except (RuntimeError, AssertionError) as error:  # The latter for "cuda".
    named = os.environ.get("JAX_PLATFORMS", "")
    reason = str(error).split(" (set JAX_PLATFORMS")[0].rstrip(".")
    raise errors.UserError(
      f"JAX cannot use the platform that JAX_PLATFORMS={named!r} names: "
      f"{reason or 'it is not there'}; install JAX for it (README, Install), "
      "name another, cpu say, or unset JAX_PLATFORMS: the best there is."
    ) from error


def create_mesh(devices: Sequence[Any] | None = None, *, fsdp: int = 1) -> Mesh:
  """Returns a mesh of BATCH_AXES.

  Slices of TPUs, which a slower network connects, are data-parallel only: they
  come one after the other along "data".

  Args:
    devices: all of all processes, if None; some may not be there, as those of
      `jax.experimental.topologies`.
    fsdp: devices that share one copy of the state; those of one slice.

  Raises:
    UserError: when the devices cannot be shared out so.
  """
  devices = jax.devices() if devices is None else list(devices)
  slices = {_slice_of(device) for device in devices}
  in_slice = len(devices) // len(slices)
  if fsdp < 1 or in_slice % fsdp:
    fit = [str(n) for n in range(1, in_slice + 1) if in_slice % n == 0]
    where = "there are" if len(slices) == 1 else "a slice has"
    raise errors.UserError(
      f"mesh.fsdp={fsdp} must divide the {in_slice} devices that {where}; "
      f"use {', '.join(fit)}, or another number of devices."
    )
  shape = (in_slice // fsdp, fsdp)
  # Or axes of a torus could not be cut: 8 on v5e:4x4, say.
  cut = {"allow_split_physical_axes": True}
  if len(slices) == 1:
    grid = mesh_utils.create_device_mesh(shape, devices, **cut)
  else:
    grid = mesh_utils.create_hybrid_device_mesh(
      shape, (len(slices), 1), devices, **cut
    )
  return Mesh(grid, BATCH_AXES)


def _slice_of(device: Any) -> int:
  # Without a slice_index: of GPUs and CPUs, and of TPUs where there is one.
  return getattr(device, "slice_index", 0)


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of what every device holds whole."""
  return NamedSharding(mesh, PartitionSpec())


def split_by_example(mesh: Mesh, *, axis: int = 0) -> NamedSharding:
  """Returns the sharding of arrays, one of whose axes is the batch.

  Args:
    mesh: of `create_mesh`.
    axis: which one.
  """
  return NamedSharding(mesh, PartitionSpec(*[None] * axis, BATCH_AXES))
