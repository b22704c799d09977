"""Calls of the CPU's loops on several devices, and under vmap."""

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.sharding import NamedSharding, PartitionSpec


def shardings(mesh, sharding) -> tuple[NamedSharding, NamedSharding]:
  """Returns the shardings of a map, by example as `sharding` does, and none."""
  spec = sharding.spec[0] if sharding.spec else None
  return (
    NamedSharding(mesh, PartitionSpec(spec, None, None, None)),
    NamedSharding(mesh, PartitionSpec()),
  )


def mapped(operation, results: int = 1):
  """Returns the operation for vmap too: one call for each index."""

  @custom_vmap
  def run(*arrays):
    return operation(*arrays)

  @run.def_vmap
  def _(size, mapped, *arrays):
    def one(index):
      return run(
        *(
          jax.lax.dynamic_index_in_dim(a, index, 0, keepdims=False)
          if is_mapped
          else a
          for a, is_mapped in zip(arrays, mapped, strict=True)
        )
      )

    out = jax.lax.map(one, jnp.arange(size))
    return out, True if results == 1 else (True,) * results

  return run
