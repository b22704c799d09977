"""The innermost loop of a strided convolution, all its sums in registers."""

import collections
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from van_jax.ops.cpu import machine
from van_jax.ops.cpu.machine import BYTES, LANES, VECTOR, constant, intrinsic

_VECTORS = 2
CHANNELS = _VECTORS * LANES  # Of a panel of weights, and of a block.
# Results of a row that are computed at once, of two rows each: with 32
# registers 28 of them are sums. VAN's maps are 7 * 2**n wide at 224 pixels.
_COLUMNS = (7, 4, 2, 1) if LANES == 16 else (3, 2, 1)

# A block of results: two rows, some neighbouring columns, CHANNELS channels.
# Where each address is: x of the first patch, panel of the weights, out of the
# first result. Bytes: x_row and out_row from the first row of results to the
# second, x_column and out_column from a result to its neighbour, line from a
# row of a patch to the next. lines: rows of a patch; length: numbers of each.
# columns: results that are left in the row.
Block = collections.namedtuple(
  "Block",
  "x x_row x_column line lines length panel out out_row out_column columns",
)


@intrinsic
def multiply(typing, block):
  """Computes as many columns of a block as fit the registers; returns them.

  Each result is the sum over a patch of number * vectors of the panel, which
  follow one another as the numbers do.
  """

  def emit(context, builder, signature, arguments):
    values = [
      builder.extract_value(arguments[0], n) for n in range(len(Block._fields))
    ]
    block = Block(*values)
    taken = _variable(builder, constant(0))
    for columns in _COLUMNS:
      none_yet = builder.icmp_signed("==", builder.load(taken), constant(0))
      fits = builder.icmp_signed(">=", block.columns, constant(columns))
      with builder.if_then(builder.and_(none_yet, fits)):
        _emit(builder, block, columns)
        builder.store(constant(columns), taken)
    return builder.load(taken)

  return types.int64(block), emit


def _emit(builder, block: Block, columns: int) -> None:
  """Emits the loops over a patch for so many columns of both rows."""
  steps = [builder.mul(block.x_column, constant(n)) for n in range(columns)]
  sums = [
    [_variable(builder, VECTOR(None)) for _ in range(_VECTORS)]
    for _ in range(2 * columns)
  ]
  weights = _variable(builder, block.panel)
  with cgutils.for_range(builder, block.lines) as line:
    start = builder.add(block.x, builder.mul(line.index, block.line))
    rows = (start, builder.add(start, block.x_row))
    with cgutils.for_range(builder, block.length) as inner:
      moved = builder.mul(inner.index, constant(4))
      addresses = [
        builder.add(builder.add(row, moved), step)
        for row in rows
        for step in steps
      ]
      panel = builder.load(weights)
      _add_products(builder, sums, addresses, panel)
      builder.store(builder.add(panel, constant(4 * CHANNELS)), weights)
  for n, totals in enumerate(sums):
    row, column = divmod(n, columns)
    at = builder.add(block.out, builder.mul(block.out_row, constant(row)))
    at = builder.add(at, builder.mul(block.out_column, constant(column)))
    for v, total in enumerate(totals):
      place = builder.add(at, constant(v * BYTES))
      machine.emit_store(builder, builder.load(total), place)


def _add_products(builder, sums, addresses, panel) -> None:
  """Emits: each result's sums += its number times the panel's vectors."""
  vectors = [
    machine.emit_load(builder, builder.add(panel, constant(v * BYTES)))
    for v in range(_VECTORS)
  ]
  for totals, address in zip(sums, addresses, strict=True):
    number = _spread(builder, address)
    for total, vector in zip(totals, vectors, strict=True):
      machine.emit_add_product(builder, total, number, vector)
    # Loads stay on their side of it: LLVM would have many numbers in registers
    # at once, and sums in memory.
    barrier = ir.FunctionType(ir.VoidType(), [])
    builder.asm(barrier, "", "~{memory}", [], True)


def _spread(builder, address) -> Any:
  """Emits a load of one number into all lanes."""
  number = machine.emit_load(builder, address, VECTOR.element)
  one = builder.insert_element(VECTOR(None), number, machine.I32(0))
  lanes = ir.Constant(ir.VectorType(machine.I32, LANES), [0] * LANES)
  return builder.shuffle_vector(one, VECTOR(None), lanes)


def _variable(builder, value) -> Any:
  variable = cgutils.alloca_once(builder, value.type)
  builder.store(value, variable)
  return variable
