"""Depthwise convolution by loops that Numba compiles for the CPU at hand.

XLA:CPU calls them by its typed foreign function interface, without Python.
A map is read once and kept in the cache, a block of sums in registers; all
gradients come from one pass. Numba is imported when a program is traced.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.custom_partitioning import custom_partitioning

from van_jax.ops import shifted_sum
from van_jax.ops.cpu.placement import mapped, shardings
from van_jax.ops.cpu.register import register

_FORWARD, _BACKWARD = "van_jax_depthwise", "van_jax_depthwise_gradients"
_PLAIN, _GELU, _WITH_SLOPE = 0, 1, 2  # A GELU of it, and the derivative.
_WHOLE = ("h", "w", "c", "p", "q", "i")  # Axes that are not split.
_DTYPES = (jnp.dtype(jnp.float32), jnp.dtype(jnp.bfloat16))


@functools.cache
def is_available() -> bool:
  """Returns whether the loops run here; compiles them the first time."""
  return register(_handlers)


def _handlers():
  from van_jax.ops.cpu.depthwise import backward, forward

  return {_FORWARD: forward.handler, _BACKWARD: backward.handler}


def takes(dtype: jax.typing.DTypeLike) -> bool:
  """Returns whether there are loops for maps of a dtype."""
  return jnp.dtype(dtype) in _DTYPES


def _require():
  if not is_available():
    raise RuntimeError(
      "implementation='numba_cpu' cannot run here; take 'shifted_sum'."
    )


def depthwise_conv(
  x: jax.Array, kernel: jax.Array, bias: jax.Array | None, dilation: int
) -> jax.Array:
  """Returns the depthwise convolution of x, [B, H, W, C], plus a bias.

  Accumulates in float32, or for wider maps by `shifted_sum`.

  Args:
    x: [B, H, W, C].
    kernel: [kh, kw, 1, C].
    bias: [C], or None for none.
    dilation: distance between neighbouring taps.

  Raises:
    RuntimeError: if Numba does not know this CPU.
  """
  if bias is None:
    bias = jnp.zeros(x.shape[-1:], kernel.dtype)
  if not takes(x.dtype):
    y: Any = shifted_sum.depthwise_conv(x, kernel, dilation)
    return y + bias.astype(y.dtype)[None, None, None]
  _require()
  return _convolve(x, kernel, bias, dilation)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _convolve(x, kernel, bias, dilation):
  return _forward_op(dilation, _PLAIN)(x, *_wide(kernel, bias, None))


def _forward(x, kernel, bias, dilation):
  return _convolve(x, kernel, bias, dilation), (x, kernel, bias)


def _backward(dilation, residuals, gradient):
  x, kernel, bias = residuals
  gradients = _gradients(x, kernel, bias, None, (gradient,), dilation)
  return gradients[:3]


_convolve.defvjp(_forward, _backward)


def convolve_gelu(x, kernel, bias, input_bias, dilation):
  """Returns GELU(depthwise_conv(x + input_bias, ...)); no gradient."""
  _require()
  return _forward_op(dilation, _GELU)(x, *_wide(kernel, bias, input_bias))


def convolve_gelu_and_slope(x, kernel, bias, input_bias, dilation):
  """Returns what `convolve_gelu` does, and the GELU's derivative there."""
  _require()
  return _forward_op(dilation, _WITH_SLOPE)(x, *_wide(kernel, bias, input_bias))


def gelu_gradients(kept, gradient, dilation):
  """Returns gradients for x, kernel and both biases from the GELU's.

  Args:
    kept: those four, and the GELU's derivative.
    gradient: for the GELU.
    dilation: distance between neighbouring taps.
  """
  x, kernel, bias, input_bias, slope = kept
  return _gradients(x, kernel, bias, input_bias, (gradient, slope), dilation)


def _wide(kernel, bias, input_bias):
  """Returns the parameters in float32; zeros for no bias of the input."""
  if input_bias is None:
    input_bias = jnp.zeros(bias.shape)
  return tuple(p.astype(jnp.float32) for p in (kernel, bias, input_bias))


def _gradients(x, kernel, bias, input_bias, maps, dilation):
  wide, _, wide_input_bias = _wide(kernel, bias, input_bias)
  x_gradient, *others = _backward_op(dilation, len(maps))(
    x, wide, wide_input_bias, *maps
  )
  return x_gradient, *(
    None if p is None else gradient.astype(p.dtype)
    for gradient, p in zip(others, (kernel, bias, input_bias), strict=True)
  )


def _attributes(x, kernel, dilation, gelu):
  top, left = (
    shifted_sum.padding(size, dilation)[0] for size in kernel.shape[:2]
  )
  return {
    "dilation": np.int64(dilation),
    "gelu": np.int64(gelu),
    "half": np.int64(x.dtype == jnp.bfloat16),
    "left": np.int64(left),
    "top": np.int64(top),
  }


def _call_forward(dilation, gelu, x, kernel, bias, input_bias):
  result = jax.ShapeDtypeStruct(x.shape, x.dtype)
  if 0 in x.shape:
    empty = jnp.zeros(x.shape, x.dtype)
    return (empty, empty) if gelu == _WITH_SLOPE else empty
  call = jax.ffi.ffi_call(
    _FORWARD, (result, result) if gelu == _WITH_SLOPE else result
  )
  return call(
    x, kernel, bias, input_bias, **_attributes(x, kernel, dilation, gelu)
  )


def _call_backward(dilation, x, kernel, input_bias, *maps):
  results = (
    jax.ShapeDtypeStruct(x.shape, x.dtype),
    jax.ShapeDtypeStruct(kernel.shape, jnp.float32),
    jax.ShapeDtypeStruct(kernel.shape[3:], jnp.float32),
    jax.ShapeDtypeStruct(kernel.shape[3:], jnp.float32),
  )
  if 0 in x.shape:
    return tuple(jnp.zeros(result.shape, result.dtype) for result in results)
  call = jax.ffi.ffi_call(_BACKWARD, results)
  gelu = _PLAIN if len(maps) == 1 else _WITH_SLOPE
  return call(
    x, kernel, input_bias, *maps, **_attributes(x, kernel, dilation, gelu)
  )


@functools.cache
def _forward_op(dilation, gelu):
  """Returns the operation, each device working on its own examples."""
  call = functools.partial(_call_forward, dilation, gelu)
  split = custom_partitioning(call)
  results = 2 if gelu == _WITH_SLOPE else 1

  def partition(mesh, arguments, _):
    examples, whole = shardings(mesh, arguments[0].sharding)
    out = examples if results == 1 else (examples,) * results
    return mesh, call, out, (examples, whole, whole, whole)

  split.def_partition(
    partition,
    sharding_rule="b h w c, p q i c, c, c -> "
    + ", ".join(["b h w c"] * results),
    need_replication_factors=_WHOLE,
  )
  return mapped(split, results)


@functools.cache
def _backward_op(dilation, maps):
  """Returns the operation; what belongs to all examples is summed."""
  call = functools.partial(_call_backward, dilation)
  split = custom_partitioning(call)

  def partition(mesh, arguments, results):
    examples, whole = shardings(mesh, arguments[0].sharding)
    axes = examples.spec[0]

    def local(*arrays):
      x_gradient, *sums = call(*arrays)
      if axes is not None:
        sums = jax.lax.psum(sums, axes)
      return x_gradient, *sums

    into = (examples, whole, whole, *[examples] * maps)
    return mesh, local, (examples, whole, whole, whole), into

  split.def_partition(
    partition,
    sharding_rule="b h w c, p q i c, c"
    + ", b h w c" * maps
    + " -> b h w c, p q i c, c, c",
    need_replication_factors=_WHOLE,
  )
  return mapped(split, results=4)
