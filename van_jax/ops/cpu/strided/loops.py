"""The loops of a strided convolution over a block of its results."""

from van_jax.ops.cpu.compiled import compiled
from van_jax.ops.cpu.strided import microkernels as kernels
from van_jax.ops.cpu.strided.microkernels import GROUPS


@compiled
def _multiply(size, wide, x, group, pixel, row, rows, length, panel, out,
              out_group, out_pixel):  # fmt: skip
  """Calls the microkernel of a group's size, and returns that."""
  if size >= GROUPS[0]:
    if wide:
      kernels.multiply_7(x, group, pixel, row, rows, length, panel, out,
                         out_group, out_pixel)  # fmt: skip
    else:
      kernels.narrow_7(x, group, pixel, row, rows, length, panel, out,
                       out_group, out_pixel)  # fmt: skip
    return GROUPS[0]
  if size >= GROUPS[1]:
    if wide:
      kernels.multiply_4(x, group, pixel, row, rows, length, panel, out,
                         out_group, out_pixel)  # fmt: skip
    else:
      kernels.narrow_4(x, group, pixel, row, rows, length, panel, out,
                       out_group, out_pixel)  # fmt: skip
    return GROUPS[1]
  if size >= GROUPS[2]:
    if wide:
      kernels.multiply_2(x, group, pixel, row, rows, length, panel, out,
                         out_group, out_pixel)  # fmt: skip
    else:
      kernels.narrow_2(x, group, pixel, row, rows, length, panel, out,
                       out_group, out_pixel)  # fmt: skip
    return GROUPS[2]
  if wide:
    kernels.multiply_1(x, group, pixel, row, rows, length, panel, out,
                       out_group, out_pixel)  # fmt: skip
  else:
    kernels.narrow_1(x, group, pixel, row, rows, length, panel, out,
                     out_group, out_pixel)  # fmt: skip
  return 1


@compiled
def multiply_rows(x, x_pixel, x_row, x_line, taps, length, panel, wide, out,
                  out_pixel, out_row, rows, columns):  # fmt: skip
  """Computes a block of results: some rows, some channels.

  Args:
    x: address of the first patch.
    x_pixel: bytes from a patch to its neighbour.
    x_row: bytes from a row of patches to the next.
    x_line: bytes from a row of a patch to the next.
    taps: rows of a patch.
    length: numbers in a row of a patch.
    panel: address of the weights.
    wide: whether there are two vectors of channels, or one.
    out: address of the first result.
    out_pixel: bytes from a result to its neighbour.
    out_row: bytes from a row of results to the next.
    rows: of results.
    columns: of results.
  """
  group = GROUPS[0]
  for m in range(0, rows, 2):
    # The last row of an odd number is both groups.
    pair = 1 if m + 1 < rows else 0
    n = 0
    while n < columns:
      at, to = x + m * x_row + n * x_pixel, out + m * out_row + n * out_pixel
      if columns - n >= 2 * group:
        for i in range(1 + pair):
          _multiply(group, wide, at + i * x_row, group * x_pixel, x_pixel,
                    x_line, taps, length, panel, to + i * out_row,
                    group * out_pixel, out_pixel)  # fmt: skip
        n += 2 * group
      else:
        n += _multiply(columns - n, wide, at, pair * x_row, x_pixel, x_line,
                       taps, length, panel, to, pair * out_row,
                       out_pixel)  # fmt: skip
