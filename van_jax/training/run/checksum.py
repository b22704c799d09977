"""Checksums of trees of arrays, added up where the arrays lie.

Orbax's own checksums cover a checkpoint's index but not its arrays: a flipped
bit there is restored as a wrong number. A part's elements stand in a row, and
each one's bits are mixed with its place and summed modulo 2**32. No order of
summing gives another sum, so it is the same on any mesh; elements that change
places change it; and one changed element always does, since mixing is
one-to-one.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

NAME = "parts_sum32"  # In a checkpoint's fingerprint.
_GOLDEN = np.uint32(0x9E3779B9)  # 2**32 over the golden ratio, and odd.
# Arrays that are stacked at a time: a copy of 128 MB at most, or of one array;
# and as many as a GPU's kernel takes operands.
_STACK_WORDS, _STACK_ARRAYS = 1 << 25, 64
_BLOCK = 1 << 20  # Words that NumPy mixes at a time.


def checksums(parts: Mapping[str, Any]) -> dict[str, int]:
  """Returns each part's checksum; a part can be verified alone.

  Arrays on devices stay there, in whatever shards: one program for all, and
  four bytes a part come back. All processes that hold a part of an array must
  call this.

  Args:
    parts: trees of arrays, or of typed random keys; NumPy's are summed here.
  """
  leaves = jax.tree.leaves(dict(parts))
  on_host = all(isinstance(leaf, np.ndarray | np.generic) for leaf in leaves)
  sums = (_host_sum if on_host else _device_sums)(dict(parts))
  return {name: int(value) for name, value in jax.device_get(sums).items()}


@jax.jit
def _device_sums(parts: dict[str, Any]) -> dict[str, jax.Array]:
  return {name: _device_sum(part) for name, part in parts.items()}


def _device_sum(tree: Any) -> jax.Array:
  """Returns the checksum of a tree, [] uint32.

  No array is flattened, so that each shard is summed where it lies: shards of
  anything but a leading axis do not stand in a row. Arrays of one shape are
  stacked: a program of one reduction an array takes a minute to compile.
  """
  total, start = jnp.zeros((), jnp.uint32), 0
  alike: dict[tuple[int, ...], list[tuple[jax.Array, int]]] = {}
  for leaf in jax.tree.leaves(tree):
    words = _device_words(leaf)
    alike.setdefault(words.shape, []).append((words, start % 2**32))
    start += words.size
  for group in alike.values():
    for stack in _stacks(group):
      # One stack after the other, and none of them fused into its reduction.
      stack, total = jax.lax.optimization_barrier((stack, total))
      words = jax.lax.optimization_barrier(jnp.stack([x for x, _ in stack]))
      starts = jnp.asarray([at for _, at in stack], jnp.uint32)
      mixed = _mixed(words ^ (_places(words.shape, starts) * _GOLDEN))
      total = total + jnp.sum(mixed, dtype=jnp.uint32)
  return total


def _stacks(
  group: list[tuple[jax.Array, int]],
) -> Iterator[list[tuple[jax.Array, int]]]:
  """Yields arrays of one shape, with their places, as many as are stacked."""
  size = max(group[0][0].size, 1)
  count = max(min(_STACK_ARRAYS, _STACK_WORDS // size), 1)
  for first in range(0, len(group), count):
    yield group[first : first + count]


def _places(shape: tuple[int, ...], starts: jax.Array) -> jax.Array:
  """Returns the place of each word, [arrays, ...] uint32.

  Args:
    shape: of the stack.
    starts: [arrays], where each array's first word stands.
  """
  place = starts.reshape(-1, *(1 for _ in shape[1:]))
  stride = 1
  for axis in reversed(range(1, len(shape))):
    along = jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
    place = place + along * np.uint32(stride % 2**32)
    stride *= shape[axis]
  return place


def _device_words(array: jax.Array) -> jax.Array:
  """Returns an array's bits, [...] or [..., 2] where they are two words."""
  if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
    array = jax.random.key_data(array)
  if jnp.iscomplexobj(array):
    array = jnp.stack([array.real, array.imag], -1)
  if array.dtype == jnp.bool_:
    array = array.astype(jnp.uint8)
  bits = min(8 * array.dtype.itemsize, 32)
  words = jax.lax.bitcast_convert_type(array, f"uint{bits}")
  return words.astype(jnp.uint32)


def _host_sum(parts: Mapping[str, Any]) -> dict[str, np.uint32]:
  """Returns what `_device_sums` does, of NumPy's arrays."""
  sums = {}
  for name, part in parts.items():
    total, start = np.zeros(1, np.uint32), 0
    for leaf in jax.tree.leaves(part):
      words = _host_words(leaf)
      for at in range(0, words.size, _BLOCK):
        block = words[at : at + _BLOCK].astype(np.uint32)
        first = start + at
        place = np.arange(first, first + block.size, dtype=np.uint64)
        mixed = _mixed(block ^ (place.astype(np.uint32) * _GOLDEN))
        total += mixed.sum(dtype=np.uint32)
      start += words.size
    sums[name] = total[0]
  return sums


def _host_words(array: np.ndarray) -> np.ndarray:
  """Returns an array's bits, [words], in as few bits as it has."""
  array = np.ascontiguousarray(array).reshape(-1)
  whole = 2 if np.iscomplexobj(array) else 1
  bits = min(8 * array.dtype.itemsize // whole, 32)
  return array.view(f"uint{bits}")


def _mixed(x: Any) -> Any:
  """Returns numbers in which each bit of `x` sways each bit; one-to-one.

  The finaliser of MurmurHash3 (Austin Appleby, 2011, public domain).

  Args:
    x: [words] uint32, of NumPy or JAX.
  """
  x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
  x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
  return x ^ (x >> np.uint32(16))
