"""Maps in and out of scratch memory, where the CPU's vectors like them.

In scratch memory channels come in groups of LANES, the last one filled up
with zeros; each group is a map of vectors, [rows, pitch, LANES] of float32,
with zeros beside its rows for taps that look past them.
"""

from van_jax.ops.cpu import gelu as vector_gelu, machine
from van_jax.ops.cpu.compiled import compiled
from van_jax.ops.cpu.machine import BYTES, LANES


@compiled
def _load(address, half):
  """Returns a vector of float32 or bfloat16 numbers."""
  if half:
    return machine.load_bfloat16(address)
  return machine.load_vector(address)


@compiled
def _load_some(address, half, count, spare):
  """Returns the first `count` numbers as a vector, by spare memory."""
  machine.store_vector(spare, machine.zeros())
  for n in range(count):
    if half:
      bits = machine.load_int16(address + 2 * n)
      machine.store_int16(spare + 4 * n + 2, bits)  # Little-endian.
    else:
      machine.store_int32(spare + 4 * n, machine.load_int32(address + 4 * n))
  return machine.load_vector(spare)


@compiled
def _store_some(address, half, count, vector, spare):
  """Stores the first `count` numbers of a vector, by spare memory."""
  if half:
    machine.store_bfloat16(spare, vector)
    for n in range(count):
      machine.store_int16(address + 2 * n, machine.load_int16(spare + 2 * n))
  else:
    machine.store_vector(spare, vector)
    for n in range(count):
      machine.store_int32(address + 4 * n, machine.load_int32(spare + 4 * n))


@compiled
def load_row(source, half, stride, length, channels, row, group_pitch, spare):
  """Copies a row of a map into scratch memory.

  Args:
    source: address of the row's first channel.
    half: whether it holds bfloat16; else float32.
    stride: from a position to the next, in bytes.
    length: positions.
    channels: how many to take.
    row: where it goes, its first group.
    group_pitch: from a group to the next, in bytes.
    spare: a vector's memory.
  """
  load_changed_row(
    source, half, stride, length, channels, row, group_pitch, spare, 0, 0
  )


@compiled
def load_changed_row(
  source, half, stride, length, channels, row, group_pitch, spare, bias, factors
):
  """Copies a row as `load_row` does, plus a bias or times another row.

  `bias` is the address of a vector for each group, `factors` that of the other
  row, which lies as the source does; 0 for none.
  """
  full = channels // LANES
  rest = channels - full * LANES
  step = BYTES // 2 if half else BYTES
  other = factors - source
  for j in range(length):
    position, to = source + j * stride, row + j * BYTES
    for g in range(full):
      vector = _load(position + g * step, half)
      if bias:
        vector = machine.add(vector, machine.load_vector(bias + g * BYTES))
      if factors:
        factor = _load(position + other + g * step, half)
        vector = machine.multiply(vector, factor)
      machine.store_vector(to + g * group_pitch, vector)
    if rest:
      last = position + full * step
      vector = _load_some(last, half, rest, spare)
      if bias:
        vector = machine.add(vector, machine.load_vector(bias + full * BYTES))
      if factors:
        factor = _load_some(last + other, half, rest, spare)
        vector = machine.multiply(vector, factor)
      machine.store_vector(to + full * group_pitch, vector)


@compiled
def store_row(target, half, stride, length, channels, row, group_pitch, spare):
  """Copies a row from scratch memory into a map; arguments as `load_row`."""
  full = channels // LANES
  rest = channels - full * LANES
  step = BYTES // 2 if half else BYTES
  for j in range(length):
    position, source = target + j * stride, row + j * BYTES
    if half:
      for g in range(full):
        vector = machine.load_vector(source + g * group_pitch)
        machine.store_bfloat16(position + g * step, vector)
    else:
      for g in range(full):
        vector = machine.load_vector(source + g * group_pitch)
        machine.store_vector(position + g * step, vector)
    if rest:
      vector = machine.load_vector(source + full * group_pitch)
      _store_some(position + full * step, half, rest, vector, spare)


@compiled
def stream_row(target, stride, length, channels, row, group_pitch):
  """Does what `store_row` does past the cache, for whole aligned vectors."""
  for j in range(length):
    position, source = target + j * stride, row + j * BYTES
    for g in range(channels // LANES):
      vector = machine.load_vector(source + g * group_pitch)
      machine.stream_vector(position + g * BYTES, vector)


@compiled
def clear(row, start, stop):
  """Sets positions start <= j < stop of a row to zero."""
  for j in range(start, stop):
    machine.store_vector(row + j * BYTES, machine.zeros())


@compiled
def apply_gelu(address, count):
  """Replaces so many vectors by their GELU."""
  for n in range(count):
    at = address + n * BYTES
    machine.store_vector(at, vector_gelu.gelu(machine.load_vector(at)))


@compiled
def apply_gelu_with_slope(address, slopes, count):
  """Replaces so many vectors by their GELU; stores its derivatives."""
  for n in range(count):
    at = address + n * BYTES
    x = machine.load_vector(at)
    value = vector_gelu.gelu_and_store_slope(x, slopes + n * BYTES)
    machine.store_vector(at, value)
