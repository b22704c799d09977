"""Checksums of trees of arrays, added up where the arrays lie.

Orbax's own checksums cover a checkpoint's index but not its arrays: a flipped
bit there is restored as a wrong number. A part's elements stand in a row, and
each one's bits are mixed with its place and summed modulo 2**32. No order of
summing gives another sum, so it is the same on any mesh; elements that change
places change it; and one changed element always does, since mixing is
one-to-one.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

NAME = "parts_sum32"  # In a checkpoint's fingerprint.
_GOLDEN = np.uint32(0x9E3779B9)  # 2**32 over the golden ratio, and odd.
# Arrays that are put together at a time, since a program of one reduction an
# array takes a minute to compile: 128 MB are copied at most, or one array; and
# as many as a GPU's kernel takes operands.
_WORDS, _ARRAYS = 1 << 25, 64
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
  if all(isinstance(leaf, np.ndarray | np.generic) for leaf in leaves):
    sums = _host_sum(dict(parts))
  else:
    whole = all(getattr(leaf, "is_fully_replicated", True) for leaf in leaves)
    sums = _device_sums(dict(parts), _sum_of_rows if whole else _sum_of_stacks)
  return {name: int(value) for name, value in jax.device_get(sums).items()}


@functools.partial(jax.jit, static_argnums=1)
def _device_sums(
  parts: dict[str, Any], sum_of: Callable[[list[jax.Array]], jax.Array]
) -> dict[str, jax.Array]:
  return {
    name: sum_of([_device_words(leaf) for leaf in jax.tree.leaves(part)])
    for name, part in parts.items()
  }


def _sum_of_rows(arrays: list[jax.Array]) -> jax.Array:
  """Returns the checksum of words, [] uint32: several arrays in a row.

  Shards would have to be brought together for it.
  """
  total, start = jnp.zeros((), jnp.uint32), 0
  for row in _rows([array.reshape(-1) for array in arrays]):
    # One row after the other, and none of them fused into its reduction.
    row, total = jax.lax.optimization_barrier((row, total))
    words = jax.lax.optimization_barrier(jnp.concatenate(row))
    place = jnp.arange(words.size, dtype=jnp.uint32) + np.uint32(start % 2**32)
    total = total + jnp.sum(_mixed(words ^ (place * _GOLDEN)), dtype=jnp.uint32)
    start += words.size
  return total


def _sum_of_stacks(arrays: list[jax.Array]) -> jax.Array:
  """Returns the same of words in shards: arrays of one shape are stacked.

  None is flattened, so that each shard is summed where it lies.
  """
  total, start = jnp.zeros((), jnp.uint32), 0
  alike: dict[tuple[int, ...], list[tuple[jax.Array, int]]] = {}
  for array in arrays:
    alike.setdefault(array.shape, []).append((array, start % 2**32))
    start += array.size
  for group in alike.values():
    for portion in _rows([array for array, _ in group]):
      starts = [group.pop(0)[1] for _ in portion]
      portion, total = jax.lax.optimization_barrier((portion, total))
      words = jax.lax.optimization_barrier(jnp.stack(portion))
      place = _places(words.shape, jnp.asarray(starts, jnp.uint32))
      mixed = _mixed(words ^ (place * _GOLDEN))
      total = total + jnp.sum(mixed, dtype=jnp.uint32)
  return total


def _rows(arrays: list[jax.Array]) -> Iterator[list[jax.Array]]:
  """Yields the arrays, in order, as many at once as are put together."""
  row: list[jax.Array] = []
  for array in arrays:
    size = array.size + sum(other.size for other in row)
    if row and (len(row) == _ARRAYS or size > _WORDS):
      yield row
      row = []
    row.append(array)
  if row:
    yield row


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
