"""Depthwise convolutions by JAX, for `convs`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from van_jax import ops

if TYPE_CHECKING:
  from benchmarks.gpu.convs import Convolution

_ON_GPUS = ("pallas_gpu", "xla", "shifted_sum")


def names() -> tuple[str, ...]:
  """Returns the implementations that are measured."""
  return tuple(n for n in _ON_GPUS if n in ops.list_implementations())


def copy(size: int) -> Callable[[int], None]:
  """Returns a function that reads and writes so many bytes."""
  run = jax.jit(lambda x: x + 1).lower(jnp.zeros(size // 4)).compile()
  return _timed(run, (jnp.ones(size // 4),))


def program(name: str, conv: "Convolution") -> Callable[[int], None]:
  """Returns a function that runs one so many times, and waits."""
  shape, channels = conv.shape, conv.shape.channels
  sizes = (conv.batch, shape.height, shape.height, channels)
  kernel_size = (shape.taps, shape.taps, 1, channels)

  def convolve(x, kernel, bias):
    return ops.depthwise_conv(
      x, kernel, bias=bias, dilation=shape.dilation, implementation=name
    )

  def one(x, gradient, kernel, bias):
    if conv.direction == "forward":
      return convolve(x, kernel, bias)
    if conv.direction == "input gradient":
      return jax.vjp(lambda x: convolve(x, kernel, bias), x)[1](gradient)
    return jax.vjp(lambda *own: convolve(x, *own), kernel, bias)[1](gradient)

  def all_of(xs, gradients, kernel, bias):
    pairs = zip(xs, gradients, strict=True)
    return [one(x, gradient, kernel, bias) for x, gradient in pairs]

  map_ = jax.ShapeDtypeStruct(sizes, conv.dtype)
  arguments = (
    [map_] * conv.copies,
    [map_] * conv.copies,
    jax.ShapeDtypeStruct(kernel_size, jnp.float32),
    jax.ShapeDtypeStruct((channels,), jnp.float32),
  )
  compiled = jax.jit(all_of, keep_unused=True).lower(*arguments).compile()
  made: list[Any] = []

  def run(count):
    if not made:  # Not with the others': memory is for one at a time.
      made.append(_timed(compiled, _drawn(arguments)))
    made[0](count)

  return run


def _drawn(arguments: Any) -> Any:
  """Returns random arrays of some shapes."""
  leaves, structure = jax.tree.flatten(arguments)
  keys = jax.random.split(jax.random.key(0), len(leaves))
  drawn = [
    _normal(key, leaf.shape, leaf.dtype)
    for key, leaf in zip(keys, leaves, strict=True)
  ]
  return jax.tree.unflatten(structure, drawn)


_normal = jax.jit(jax.random.normal, static_argnums=(1, 2))


def _timed(
  compiled: Callable[..., Any], arrays: tuple[Any, ...]
) -> Callable[[int], None]:
  def run(count):
    result: Any = None
    for _ in range(count):
      result = compiled(*arrays)
    jax.block_until_ready(result)

  return run
