"""Operations on batches that each device runs on its own examples.

Mosaic kernels refuse programs of several devices outside of shard_map, which
wants a mesh, and on TPUs XLA has no emitter for JAX's custom_partitioning
(jax-ml/jax #38196); Triton kernels would get all examples on every device. But
when a program is lowered its number of devices is known: a primitive can make
a mesh then, and give every device its share.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend import core
from jax.interpreters import batching, mlir
from jax.sharding import AbstractMesh, PartitionSpec

_AXIS = "depthwise_batch"


def per_device(
  name: str,
  run: Callable[..., Sequence[jax.Array]],
  otherwise: Callable[..., Sequence[jax.Array]],
  *,
  platform: str,
  split: Sequence[bool],
  summed: Sequence[bool],
) -> Callable[..., Sequence[jax.Array]]:
  """Returns an operation that runs device by device.

  Args:
    name: of the primitive.
    run: run(*arrays, interpret=bool, **parameters) -> arrays, of one device.
    otherwise: otherwise(*arrays, **parameters) -> arrays, of XLA's operations,
      for a batch that does not split evenly, or into too few examples.
    platform: JAX's name of the one that the kernels are for; on others they
      are interpreted.
    split: for each array, whether its leading axis is the batch.
    summed: for each result, whether it is to be added up over the devices;
      otherwise its leading axis is the batch.

  Returns:
    operation(*arrays, least_examples=1, **parameters) -> arrays; parameters
    are hashable. How many examples a device has is not known before lowering.
  """
  primitive = core.Primitive(name)
  primitive.multiple_results = True

  @primitive.def_abstract_eval
  def _(*arrays, least_examples, **parameters):
    del least_examples
    shapes = jax.eval_shape(functools.partial(otherwise, **parameters), *arrays)
    return [ShapedArray(shape.shape, shape.dtype) for shape in shapes]

  @primitive.def_impl
  def _(*arrays, **parameters):
    return jax.jit(functools.partial(primitive.bind, **parameters))(*arrays)

  def lower(context, *operands, interpret, least_examples, **parameters):
    local = functools.partial(run, interpret=interpret, **parameters)
    devices = _devices_of(context)
    batch = context.avals_in[split.index(True)].shape[0]
    if batch % devices or batch // devices < least_examples:
      local = functools.partial(otherwise, **parameters)
    elif devices > 1:
      local = _over(devices, local, split, summed)
    return mlir.lower_fun(local, multiple_results=True)(context, *operands)

  mlir.register_lowering(primitive, functools.partial(lower, interpret=True))
  mlir.register_lowering(
    primitive, functools.partial(lower, interpret=False), platform=platform
  )

  def batched(arrays, axes, **parameters):
    moved = [
      a if axis is None else jnp.moveaxis(a, axis, 0)
      for a, axis in zip(arrays, axes, strict=True)
    ]
    mapped = [
      a for a, axis in zip(moved, axes, strict=True) if axis is not None
    ]

    def one(mapped):
      left = iter(mapped)
      return primitive.bind(
        *(
          a if axis is None else next(left)
          for a, axis in zip(moved, axes, strict=True)
        ),
        **parameters,
      )

    results = jax.lax.map(one, mapped)
    return results, [0] * len(results)

  batching.primitive_batchers[primitive] = batched

  def operation(*arrays, least_examples=1, **parameters):
    return primitive.bind(*arrays, least_examples=least_examples, **parameters)

  return operation


def _devices_of(context) -> int:
  """Returns how many devices XLA would split the operation over itself."""
  axes = context.module_context.axis_context
  if isinstance(axes, mlir.ShardingContext):
    return axes.num_devices
  return 1  # Inside of a shard_map already.


def _over(devices, run, split, summed):
  """Returns run, each of the devices taking its share of the batch."""
  whole, shared = PartitionSpec(), PartitionSpec(_AXIS)

  def share(*arrays):
    return [
      jax.lax.psum(result, _AXIS) if s else result
      for result, s in zip(run(*arrays), summed, strict=True)
    ]

  return jax.shard_map(
    share,
    mesh=AbstractMesh((devices,), (_AXIS,)),
    in_specs=tuple(shared if s else whole for s in split),
    out_specs=[whole if s else shared for s in summed],
    check_vma=False,
  )
