"""Strided convolution by loops that Numba compiles for the CPU at hand.

XLA:CPU calls them by its typed foreign function interface, without Python.
They have no gradients; Numba is imported when a program is traced.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.custom_partitioning import custom_partitioning

from van_jax.ops.cpu.placement import mapped, shardings
from van_jax.ops.cpu.register import register

_NAME = "van_jax_strided"
# C at a time: more of a kernel's rows leave the cache before they are needed
# again. 1024 to 512 channels on 128 x 128 take half the time so.
_CHANNELS = 256


@functools.cache
def is_available() -> bool:
  """Returns whether the loops run here; compiles them the first time."""
  return register(_handlers)


def _handlers():
  from van_jax.ops.cpu.strided import loops

  return {_NAME: loops.handler}


def takes(channels: int) -> bool:
  """Returns whether the loops write maps of so many channels."""
  from van_jax.ops.cpu.strided.microkernel import CHANNELS

  return channels % CHANNELS == 0


def conv(
  x: jax.Array, kernel: jax.Array, *, stride: int, padding: int
) -> jax.Array:
  """Returns the convolution, computed in float32, of x's dtype.

  Args:
    x: [B, H, W, C].
    kernel: [kh, kw, C, D]; the loops take so many channels D.
    stride: of both axes.
    padding: zeros before and behind both axes.
  """
  run = _operation(stride, padding)
  parts = [
    run(
      x[..., c : c + _CHANNELS].astype(jnp.float32),
      kernel[:, :, c : c + _CHANNELS].astype(jnp.float32),
    )
    for c in range(0, x.shape[-1], _CHANNELS)
  ]
  return functools.reduce(jnp.add, parts).astype(x.dtype)


@functools.cache
def _operation(stride, padding):
  """Returns the operation, each device working on its own examples."""

  def call(x, kernel):
    height, width = (
      (size + 2 * padding - taps) // stride + 1
      for size, taps in zip(x.shape[1:3], kernel.shape[:2], strict=True)
    )
    shape = (x.shape[0], height, width, kernel.shape[3])
    result = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.ffi.ffi_call(_NAME, result)(
      x, kernel, padding=np.int64(padding), stride=np.int64(stride)
    )

  split = custom_partitioning(call)

  def partition(mesh, arguments, _):
    examples, whole = shardings(mesh, arguments[0].sharding)
    return mesh, call, examples, (examples, whole)

  split.def_partition(
    partition,
    sharding_rule="b h w c, p q c d -> b i j d",
    need_replication_factors=("h", "w", "c", "p", "q", "d", "i", "j"),
  )
  return mapped(split)
