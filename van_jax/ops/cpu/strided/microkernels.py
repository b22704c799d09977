"""The innermost loops of a strided convolution, all their sums in registers.

Both multiply numbers of a map, each spread over a register, by vectors of a
packed panel. Pitches are in bytes.
"""

from typing import Any

from numba import types
from numba.core import cgutils

from van_jax.ops.cpu import machine
from van_jax.ops.cpu.machine import BYTES, LANES, VECTOR, constant, intrinsic

_MANY = LANES == 16  # 32 registers, or 16.
# Positions of a group, of which `multiply` takes two; rows that `correlate`
# takes. VAN's maps are 7 * 2**n wide at 224 pixels.
GROUPS = (7, 4, 2, 1) if _MANY else (3, 2, 1, 1)
ROWS = (14, 12, 7, 4, 2, 1) if _MANY else (6, 6, 3, 3, 2, 1)


def _spread(builder, address):
  """Emits a load of one number into all lanes."""
  number = machine.emit_load(builder, address, VECTOR.element)
  one = builder.insert_element(VECTOR(None), number, machine.I32(0))
  lanes = machine.ir.Constant(
    machine.ir.VectorType(machine.I32, LANES), [0] * LANES
  )
  return builder.shuffle_vector(one, VECTOR(None), lanes)


def _vectors(builder, address, count):
  """Emits loads of neighbouring vectors."""
  return [
    machine.emit_load(builder, builder.add(address, constant(v * BYTES)))
    for v in range(count)
  ]


def _advance(builder, variable, pitch):
  builder.store(builder.add(builder.load(variable), pitch), variable)


def _variable(builder, value):
  variable = cgutils.alloca_once(builder, value.type)
  builder.store(value, variable)
  return variable


def _add_products(builder, sums, addresses, vectors):
  for n, address in enumerate(addresses):
    number = _spread(builder, address)
    for v, vector in enumerate(vectors):
      total = sums[n * len(vectors) + v]
      machine.emit_add_product(builder, total, number, vector)
    # Loads stay on their side of it: LLVM would have many numbers in registers
    # at once, and sums in memory.
    barrier = machine.ir.FunctionType(machine.ir.VoidType(), [])
    builder.asm(barrier, "", "~{memory}", [], True)


def _multiplier(size: int, vectors: int) -> Any:
  @intrinsic
  def multiply(
    typing, x, group, pixel, row, rows, length, panel, out, out_group, out_pixel
  ):
    def emit(context, builder, signature, arguments):
      x, group, pixel, row, rows, length, panel, out, *pitches = arguments
      sums = [
        _variable(builder, VECTOR(None)) for _ in range(2 * size * vectors)
      ]
      weights = _variable(builder, panel)
      places = [builder.mul(pixel, constant(n)) for n in range(size)]
      with cgutils.for_range(builder, rows) as loop:
        first = builder.add(x, builder.mul(loop.index, row))
        second = builder.add(first, group)
        with cgutils.for_range(builder, length) as inner:
          moved = builder.mul(inner.index, constant(4))
          addresses = [
            builder.add(builder.add(base, moved), place)
            for base in (first, second)
            for place in places
          ]
          loaded = _vectors(builder, builder.load(weights), vectors)
          _add_products(builder, sums, addresses, loaded)
          _advance(builder, weights, constant(vectors * BYTES))
      for n in range(2 * size):
        at = builder.add(out, builder.mul(pitches[0], constant(n // size)))
        at = builder.add(at, builder.mul(pitches[1], constant(n % size)))
        for v in range(vectors):
          total = builder.load(sums[n * vectors + v])
          place = builder.add(at, constant(v * BYTES))
          machine.emit_store(builder, total, place)
      return context.get_dummy_value()

    return types.void(*[types.int64] * 10), emit

  return multiply


# multiply(x, group, pixel, row, rows, length, panel, out, out_group, out_pixel)
# writes, for two groups of positions, the sum over rows and the `length`
# numbers of each, of number * the panel's next vectors. The four pitches say
# how far it is from one group, position or row to the next.
multiply_7, multiply_4, multiply_2, multiply_1 = (
  _multiplier(size, 2) for size in GROUPS
)
narrow_7, narrow_4, narrow_2, narrow_1 = (
  _multiplier(size, 1) for size in GROUPS
)


def _correlator(size: int, vectors: int) -> Any:
  @intrinsic
  def correlate(typing, x, row, pixel, rows, columns, panel, out, out_pitch):
    def emit(context, builder, signature, arguments):
      x, row, pixel, rows, columns, panel, out, out_pitch = arguments
      places = [
        builder.add(out, builder.mul(out_pitch, constant(n)))
        for n in range(size)
      ]
      sums = [_variable(builder, VECTOR(None)) for _ in range(size * vectors)]
      errors = _variable(builder, panel)
      with cgutils.for_range(builder, rows) as loop:
        start = builder.add(x, builder.mul(loop.index, row))
        at = _variable(builder, start)
        builder.store(start, at)
        with cgutils.for_range(builder, columns):
          base = builder.load(at)
          loaded = _vectors(builder, builder.load(errors), vectors)
          addresses = [builder.add(base, constant(4 * n)) for n in range(size)]
          _add_products(builder, sums, addresses, loaded)
          _advance(builder, at, pixel)
          _advance(builder, errors, constant(vectors * BYTES))
      for n, place in enumerate(places):
        for v, before in enumerate(_vectors(builder, place, vectors)):
          total = builder.fadd(before, builder.load(sums[n * vectors + v]))
          address = builder.add(place, constant(v * BYTES))
          machine.emit_store(builder, total, address)
      return context.get_dummy_value()

    return types.void(*[types.int64] * 8), emit

  return correlate


# correlate(x, row, pixel, rows, columns, panel, out, out_pitch) adds to a few
# rows at `out` the sum over positions of neighbouring numbers at x, one for
# each row, times the panel's next vectors.
(
  correlate_14, correlate_12, correlate_7, correlate_4, correlate_2, correlate_1
) = (_correlator(size, 2) for size in ROWS)  # fmt: skip
thin_14, thin_12, thin_7, thin_4, thin_2, thin_1 = (
  _correlator(size, 1) for size in ROWS
)
