"""The mesh of devices, and how arrays lie on it."""

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
