"""Arrays in shards, brought to the host whole.

Shards of other processes come over the devices' network: while they do, each
device holds that one array whole, beside its shards of all.
"""

import functools
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from van_jax.parallel.mesh import replicated


def whole_array(array: Any) -> np.ndarray:
  """Returns all of an array, on the host of every process that has a part.

  Args:
    array: in whatever shards; all processes that have one call this together.
      NumPy's is returned as it is.
  """
  if not isinstance(array, jax.Array):
    return np.asarray(array)
  return np.asarray(_within_reach(array))


def whole_on_first(tree: Any, mesh: Mesh) -> Any:
  """Returns a tree's arrays, whole, in the memory of the first process's host.

  All processes call this, and the others get None for each array. One array at
  a time is gathered, so that nothing else is held twice.

  Args:
    tree: of arrays on the mesh's devices.
    mesh: of `create_mesh`.
  """
  first = jax.process_index() == 0

  def fetch(x):
    x = _within_reach(x, mesh)
    if first:
      return np.asarray(x)
    # Waited for here too, or all arrays would be on their way at once.
    jax.block_until_ready(x)
    return None

  return jax.tree.map(fetch, tree)


def _within_reach(array: jax.Array, mesh: Mesh | None = None) -> jax.Array:
  """Returns an array that this process can read all of.

  Args:
    array: in whatever shards.
    mesh: of its devices; None for the one that its sharding names.
  """
  if array.is_fully_addressable:
    return array  # The host puts its shards together, and no device does.
  if not array.is_fully_replicated:
    sharding: Any = array.sharding
    array = _gather(mesh or sharding.mesh)(array)
  return array.addressable_data(0)


@functools.cache
def _gather(mesh: Mesh) -> Any:
  """Returns the function that gives every device all of an array."""
  return jax.jit(lambda x: x, out_shardings=replicated(mesh))
