"""Arrays in shards, brought to the host whole."""

import functools
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec


def whole_array(array: Any) -> np.ndarray:
  """Returns all of an array, on the host of every process that has a part.

  Shards of other processes come over the devices' network: while they do, each
  device holds this one array whole.

  Args:
    array: in whatever shards; all processes that have one call this together.
      NumPy's is returned as it is.
  """
  if not isinstance(array, jax.Array) or array.is_fully_addressable:
    return np.asarray(array)
  if not array.is_fully_replicated:
    array = _replicated(array.sharding)(array)
  return np.asarray(array.addressable_data(0))


@functools.cache
def _replicated(sharding: Any) -> Any:
  """Returns the function that gives every device all of an array."""
  whole = NamedSharding(sharding.mesh, PartitionSpec())
  return jax.jit(lambda x: x, out_shardings=whole)
