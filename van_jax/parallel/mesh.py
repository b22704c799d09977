"""The mesh of devices, and how arrays lie on it."""

import os

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from van_jax import errors

BATCH_AXIS = "batch"


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


def create_mesh() -> Mesh:
  """Returns a mesh of all devices of all processes along one batch axis."""
  return Mesh(np.array(jax.devices()), (BATCH_AXIS,))


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of what every device holds whole: the state."""
  return NamedSharding(mesh, PartitionSpec())


def split_by_example(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of arrays whose leading axis is the batch."""
  return NamedSharding(mesh, PartitionSpec(BATCH_AXIS))
