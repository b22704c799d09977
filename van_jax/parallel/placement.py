"""Which part of a state each device holds."""

import math
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from van_jax import errors

_AXIS = "fsdp"
# Numbers. Smaller arrays are whole on every device: to gather 64 KiB takes
# about as long as to gather nothing, and there are many.
SMALL = 1 << 14


def spec(shape: tuple[int, ...], fsdp: int) -> PartitionSpec:
  """Returns which axis of an array of the state is split, if any.

  Small arrays are whole, others split along their largest axis that `fsdp`
  divides, the first of equals. The shape alone decides: the moments and the
  averages of a parameter lie as it does, wherever in a state they are.

  Args:
    shape: of the array.
    fsdp: devices that share a copy of the state.

  >>> spec((1, 1, 64, 256), 8), spec((1, 1, 8, 8), 8), spec((3, 7, 999), 8)
  (P(None, None, None, 'fsdp'), P(), P())
  """
  axes = [axis for axis, size in enumerate(shape) if size % fsdp == 0]
  if fsdp == 1 or math.prod(shape) < SMALL or not axes:
    return PartitionSpec()
  axis = max(axes, key=lambda axis: shape[axis])
  return PartitionSpec(*[None] * axis, _AXIS)


def state_shardings(tree: Any, mesh: Mesh) -> Any:
  """Returns the sharding of each array of a state, or of a part of one.

  Args:
    tree: of anything with a shape: arrays, traced or not, or
      `jax.ShapeDtypeStruct`s.
    mesh: of `create_mesh`.
  """
  fsdp = mesh.shape[_AXIS]
  return jax.tree.map(lambda x: NamedSharding(mesh, spec(x.shape, fsdp)), tree)


def with_shardings(tree: Any, mesh: Mesh) -> Any:
  """Returns the shapes and dtypes of a tree, with `state_shardings`."""
  return jax.tree.map(
    lambda x, sharding: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=sharding
    ),
    tree,
    state_shardings(tree, mesh),
  )


def placed(tree: Any, mesh: Mesh) -> Any:
  """Returns a tree's arrays with `state_shardings`.

  Args:
    tree: of arrays that the host can read whole; each process of the mesh has
      the same, and gives its own shards.
    mesh: of `create_mesh`.
  """

  def place(array, sharding):
    whole = np.asarray(array)
    return jax.make_array_from_callback(
      whole.shape, sharding, lambda index: whole[index]
    )

  return jax.tree.map(place, tree, state_shardings(tree, mesh))


def check_fsdp(params: Any, mesh: Mesh) -> None:
  """Raises UserError if the state is to be split and no array can be.

  Args:
    params: a network's; anything with shapes.
    mesh: of `create_mesh`.
  """
  fsdp = mesh.shape[_AXIS]
  shapes = [x.shape for x in jax.tree.leaves(params)]
  if fsdp == 1 or any(spec(shape, fsdp) for shape in shapes):
    return
  largest = max(shapes, key=math.prod)
  raise errors.UserError(
    f"mesh.fsdp={fsdp} splits nothing of this network: an array needs "
    f"{SMALL:,} numbers and an axis that {fsdp} divides, and the largest is "
    f"{list(largest)}; set mesh.fsdp=1, or a number that divides one of its "
    "axes."
  )


def shard_bytes(tree: Any) -> int:
  """Returns the bytes that one device holds of a tree with shardings."""
  return sum(
    math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
    for x in jax.tree.leaves(tree)
  )
