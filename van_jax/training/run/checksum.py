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
# Arrays that are laid in a row at a time: a copy of 128 MB at most, or of one
# array; and as many as a GPU's kernel takes operands.
_ROW_WORDS, _ROW_ARRAYS = 1 << 25, 64
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

  A program of one reduction an array takes a minute to compile.
  """
  total, start = jnp.zeros((), jnp.uint32), 0
  for row in _rows([_device_words(leaf) for leaf in jax.tree.leaves(tree)]):
    # One row after the other, and none of them fused into its reduction.
    row, total = jax.lax.optimization_barrier((row, total))
    words = jax.lax.optimization_barrier(jnp.concatenate(row))
    place = jnp.arange(words.size, dtype=jnp.uint32) + np.uint32(start % 2**32)
    total = total + jnp.sum(_mixed(words ^ (place * _GOLDEN)), dtype=jnp.uint32)
    start += words.size
  return total


def _rows(arrays: list[jax.Array]) -> Iterator[list[jax.Array]]:
  """Yields the arrays, in order, as many at once as are laid in a row."""
  row: list[jax.Array] = []
  for array in arrays:
    size = array.size + sum(other.size for other in row)
    if row and (len(row) == _ROW_ARRAYS or size > _ROW_WORDS):
      yield row
      row = []
    row.append(array)
  if row:
    yield row


def _device_words(array: jax.Array) -> jax.Array:
  """Returns an array's bits, [words]; 64 of them are two words."""
  if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
    array = jax.random.key_data(array)
  if jnp.iscomplexobj(array):
    array = jnp.stack([array.real, array.imag], -1)
  if array.dtype == jnp.bool_:
    array = array.astype(jnp.uint8)
  bits = min(8 * array.dtype.itemsize, 32)
  words = jax.lax.bitcast_convert_type(array, f"uint{bits}")
  return words.reshape(-1).astype(jnp.uint32)


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
