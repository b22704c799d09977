"""Copies of maps with zeros around them, and of columns of matrices."""

from numba import types

from van_jax.ops.cpu import machine
from van_jax.ops.cpu.compiled import compiled
from van_jax.ops.cpu.machine import BYTES

_copy = types.ExternalFunction(
  "memcpy", types.int64(types.int64, types.int64, types.int64)
)
_fill = types.ExternalFunction(
  "memset", types.int64(types.int64, types.int32, types.int64)
)


@compiled
def clear(address, size):
  """Fills so many bytes, if any, with zeros."""
  if size > 0:
    _fill(address, types.int32(0), size)


@compiled
def load_map(source, height, width, pixel, before, columns, first, step, rows,
              to):  # fmt: skip
  """Copies rows of a map, zeros around it.

  Args:
    source: address of the map.
    height: of the map.
    width: of the map.
    pixel: bytes of a position.
    before: zeros before a row.
    columns: positions of a row of the copy.
    first: the first row to copy; may be outside of the map.
    step: rows from one to the next.
    rows: how many.
    to: address of the copy.
  """
  before = min(before, columns)
  copied = min(width, columns - before)
  for n in range(rows):
    row, at = first + n * step, to + n * columns * pixel
    if row < 0 or row >= height:
      clear(at, columns * pixel)
      continue
    clear(at, before * pixel)
    if copied > 0:
      _copy(at + before * pixel, source + row * width * pixel, copied * pixel)
    after = before + max(0, copied)
    clear(at + after * pixel, (columns - after) * pixel)


@compiled
def load_panel(source, pitch, rows, size, to):
  """Packs some neighbouring bytes of each row of a matrix."""
  for n in range(rows):
    for v in range(0, size, BYTES):
      value = machine.load_vector(source + n * pitch + v)
      machine.store_vector(to + n * size + v, value)
