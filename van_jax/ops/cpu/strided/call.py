"""Strided convolution by loops that Numba compiles for the CPU at hand.

XLA:CPU calls them as it does those of `numba_cpu`. The input's gradient is one
convolution of the gradient for each of stride x stride phases of the input.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.custom_partitioning import custom_partitioning

from van_jax.ops.cpu import placement as numba_placement, register as handlers
from van_jax.ops.cpu.depthwise import call as numba_cpu
from van_jax.ops.cpu.strided import plan as strided_plan

_PRODUCT, _GRADIENT = "van_jax_strided_product", "van_jax_strided_gradient"


@functools.cache
def is_available() -> bool:
  """Returns whether the loops run here; compiles them the first time."""
  if not numba_cpu.is_available():
    return False
  return handlers.register(_handlers)


def _handlers():
  from van_jax.ops.cpu.strided import (
    kernel_gradient as strided_gradient,
    product as strided_product,
  )

  return {
    _PRODUCT: strided_product.handler,
    _GRADIENT: strided_gradient.handler,
  }


def takes(channels: int) -> bool:
  """Returns whether the loops write maps of so many channels."""
  from van_jax.ops.cpu.machine import LANES

  return channels % LANES == 0


def conv(
  x: jax.Array, kernel: jax.Array, stride: int, padding: int
) -> jax.Array:
  """Returns the convolution, computed in float32, of x's dtype.

  Args:
    x: [B, H, W, C].
    kernel: [kh, kw, C, D], D a multiple of a vector.
    stride: of both axes.
    padding: zeros before and behind both axes.
  """
  channels = kernel.shape[3]
  plan, size = strided_plan.forward(x.shape, kernel.shape, stride, padding)
  weights = kernel.reshape(-1, channels)
  return _product(x, weights, plan, size)


def input_gradient(
  shape: tuple[int, ...],
  kernel: jax.Array,
  gradient: jax.Array,
  stride: int,
  padding: int,
) -> jax.Array:
  """Returns the gradient for x, of the gradient's dtype.

  Args:
    shape: [B, H, W, C] of x, C a multiple of a vector.
    kernel: [kh, kw, C, D].
    gradient: [B, H', W', D], of the result.
    stride: of both axes.
    padding: zeros before and behind both axes.
  """
  plan = strided_plan.input_gradient(shape, kernel.shape, stride, padding)
  weights = kernel.transpose(0, 1, 3, 2).reshape(-1, shape[3])
  return _product(gradient, weights, plan, shape[1:3])


def _product(x, weights, plan, size):
  numbers = jnp.asarray(np.array([*plan, *size], np.int32))
  wide = (x.astype(jnp.float32), weights.astype(jnp.float32), numbers)
  return _product_op(tuple(size))(*wide).astype(x.dtype)


def kernel_gradient(
  x: jax.Array,
  gradient: jax.Array,
  shape: tuple[int, ...],
  stride: int,
  padding: int,
) -> jax.Array:
  """Returns the gradient for the kernel, float32.

  Args:
    x: [B, H, W, C].
    gradient: [B, H', W', D], of the result; D a multiple of a vector.
    shape: [kh, kw, C, D] of the kernel.
    stride: of both axes.
    padding: zeros before and behind both axes.
  """
  run = _gradient_op(tuple(shape), stride, padding)
  return run(x.astype(jnp.float32), gradient.astype(jnp.float32))


@functools.cache
def _product_op(size):
  """Returns the operation, each device working on its own examples."""

  def call(x, weights, plan):
    shape = (x.shape[0], *size, weights.shape[1])
    result = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.ffi.ffi_call(_PRODUCT, result)(x, weights, plan)

  split = custom_partitioning(call)

  def partition(mesh, arguments, _):
    examples, whole = numba_placement.shardings(mesh, arguments[0].sharding)
    return mesh, call, examples, (examples, whole, whole)

  split.def_partition(
    partition,
    sharding_rule="b h w c, k d, n -> b i j d",
    need_replication_factors=("h", "w", "c", "k", "d", "n", "i", "j"),
  )
  return numba_placement.mapped(split)


@functools.cache
def _gradient_op(shape, stride, padding):
  """Returns the operation; devices add up what their examples give."""
  attributes: Any = {
    "columns": np.int64(shape[1]),
    "padding": np.int64(padding),
    "rows": np.int64(shape[0]),
    "stride": np.int64(stride),
  }

  def call(x, gradient):
    result = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.ffi.ffi_call(_GRADIENT, result)(x, gradient, **attributes)

  split = custom_partitioning(call)

  def partition(mesh, arguments, _):
    examples, whole = numba_placement.shardings(mesh, arguments[0].sharding)
    axes = examples.spec[0]

    def local(x, gradient):
      total = call(x, gradient)
      return total if axes is None else jax.lax.psum(total, axes)

    return mesh, local, whole, (examples, examples)

  split.def_partition(
    partition,
    sharding_rule="b h w c, b i j d -> p q c d",
    need_replication_factors=("h", "w", "c", "i", "j", "d", "p", "q"),
  )
  return numba_placement.mapped(split)
