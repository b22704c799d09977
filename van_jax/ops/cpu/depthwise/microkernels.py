"""The innermost loops, emitted with all their sums in registers.

Addresses are of vectors in scratch memory (`packing`), pitches are in bytes.
"""

from typing import Any

from numba import types
from numba.core import cgutils

from van_jax.ops.cpu import machine
from van_jax.ops.cpu.machine import BYTES, LANES, VECTOR, constant, intrinsic

BLOCK, HALF_BLOCK = 14, 7  # Positions; VAN's maps are 7 * 2**n at 224 pixels.
REACH = 8  # The most positions that `correlate` takes at once.
_SUMS = 28 if LANES == 16 else 14  # Of the 32 or 16 registers.


def _vector(builder, base, index):
  """Emits a load of the index-th vector from an address."""
  address = builder.add(base, constant(index * BYTES))
  return machine.emit_load(builder, address, align=BYTES)


def _step(builder, base, loop, pitch):
  return builder.add(base, builder.mul(loop.index, pitch))


def _variables(builder, count, start):
  """Emits variables, which LLVM keeps in registers."""
  result = [cgutils.alloca_once(builder, VECTOR) for _ in range(count)]
  for variable in result:
    builder.store(start, variable)
  return result


def _convolver(positions: int) -> Any:
  @intrinsic
  def convolve(typing, x, pitch, hop, rows, columns, kernel, step, bias, out):
    def emit(context, builder, signature, arguments):
      x, pitch, hop, rows, columns, kernel, step, bias, out = arguments
      start = machine.emit_load(builder, bias)
      sums = _variables(builder, positions, start)
      with cgutils.for_range(builder, rows) as row:
        of_row = _step(builder, x, row, pitch)
        taps = _step(builder, kernel, row, step)
        with cgutils.for_range(builder, columns) as column:
          moved = _step(builder, of_row, column, hop)
          tap = _step(builder, taps, column, constant(BYTES))
          weight = _vector(builder, tap, 0)
          for j, total in enumerate(sums):
            machine.emit_add_product(
              builder, total, _vector(builder, moved, j), weight
            )
      for j, total in enumerate(sums):
        address = builder.add(out, constant(j * BYTES))
        machine.emit_store(builder, builder.load(total), address, BYTES)
      return context.get_dummy_value()

    return types.void(*[types.int64] * 9), emit

  return convolve


# convolve(x, pitch, hop, rows, columns, kernel, step, bias, out): out of 14 or
# 7 neighbouring positions is the bias plus the sum over rows * columns taps of
# weight * x; a row of taps is `pitch` bytes of x and `step` bytes of the
# kernel further, a tap within it `hop` bytes and a vector.
convolve_block = _convolver(BLOCK)
convolve_half_block = _convolver(HALF_BLOCK)


def _correlator(columns: int) -> Any:
  positions = max(n for n in (1, 2, 4, REACH) if n * columns <= _SUMS)

  @intrinsic
  def correlate(typing, x, gradient, pitch, hop, rows, length, out):
    def emit(context, builder, signature, arguments):
      x, gradient, pitch, hop, rows, length, out = arguments
      zero = VECTOR(None)
      sums = _variables(builder, columns * positions, zero)
      blocks = builder.sdiv(
        builder.add(length, constant(positions - 1)), constant(positions)
      )
      with cgutils.for_range(builder, rows) as row:
        of_x = _step(builder, x, row, pitch)
        of_gradient = _step(builder, gradient, row, pitch)
        with cgutils.for_range(builder, blocks) as block:
          width = constant(positions * BYTES)
          at = _step(builder, of_x, block, width)
          errors = _step(builder, of_gradient, block, width)
          for j in range(positions):
            error = _vector(builder, errors, j)
            for q in range(columns):
              tap = builder.add(at, builder.mul(constant(q), hop))
              machine.emit_add_product(
                builder,
                sums[q * positions + j],
                _vector(builder, tap, j),
                error,
              )
      for q in range(columns):
        total = _vector(builder, out, q)
        for j in range(positions):
          total = builder.fadd(total, builder.load(sums[q * positions + j]))
        address = builder.add(out, constant(q * BYTES))
        machine.emit_store(builder, total, address, BYTES)
      return context.get_dummy_value()

    return types.void(*[types.int64] * 7), emit

  return correlate


# correlate(x, gradient, pitch, hop, rows, length, out) adds to each of 7, 5, 3
# or 1 vectors at `out` the sum over rows and positions of gradient * x, for
# each vector of x `hop` bytes further. Past `length`, up to a multiple of
# REACH, it reads zeros of the gradient.
correlate_7, correlate_5 = _correlator(7), _correlator(5)
correlate_3, correlate_1 = _correlator(3), _correlator(1)


@intrinsic
def add_up(typing, gradient, pitch, rows, length, out):
  """Adds to the vector at `out` the sum over rows and positions."""

  def emit(context, builder, signature, arguments):
    gradient, pitch, rows, length, out = arguments
    sums = _variables(builder, REACH, VECTOR(None))
    blocks = builder.sdiv(
      builder.add(length, constant(REACH - 1)), constant(REACH)
    )
    with cgutils.for_range(builder, rows) as row:
      of_row = _step(builder, gradient, row, pitch)
      with cgutils.for_range(builder, blocks) as block:
        at = _step(builder, of_row, block, constant(REACH * BYTES))
        for j, total in enumerate(sums):
          value = builder.fadd(builder.load(total), _vector(builder, at, j))
          builder.store(value, total)
    result = _vector(builder, out, 0)
    for total in sums:
      result = builder.fadd(result, builder.load(total))
    machine.emit_store(builder, result, out, BYTES)
    return context.get_dummy_value()

  return types.void(*[types.int64] * 5), emit
