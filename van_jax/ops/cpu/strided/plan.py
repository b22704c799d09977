"""Which numbers of a map each result of a strided convolution reads.

A convolution has one phase, its input's gradient stride x stride of them: for
the pixels of one phase the same taps meet the gradient.
"""


def forward(
  shape: tuple[int, ...], kernel: tuple[int, ...], stride: int, padding: int
) -> tuple[tuple[int, ...], tuple[int, int]]:
  """Returns the plan of a convolution, and its result's height and width."""
  (rows, height), (columns, width) = (
    _one_phase(size, taps, stride, padding)
    for size, taps in zip(shape[1:3], kernel[:2], strict=True)
  )
  return _plan(stride, 1, rows, columns, kernel[1], 1), (height, width)


def input_gradient(
  shape: tuple[int, ...], kernel: tuple[int, ...], stride: int, padding: int
) -> tuple[int, ...]:
  """Returns the plan of the gradient for an input of a shape."""
  rows, columns = (
    _phases(size, taps, stride, padding)
    for size, taps in zip(shape[1:3], kernel[:2], strict=True)
  )
  return _plan(1, stride, rows, columns, -stride * kernel[1], -stride)


def _one_phase(size: int, taps: int, stride: int, padding: int):
  """Returns what `_phases` does, and the result's length."""
  length = (size + 2 * padding - taps) // stride + 1
  phase = (0, length, 0, taps, 0)
  return ([phase], padding, (length - 1) * stride + taps), length


def _phases(size: int, taps: int, stride: int, padding: int):
  """Returns what each phase of an axis of the input reads of the gradient.

  Position stride * m + first of the input meets `reach` taps, stride apart;
  the first of them at position m + ahead of the gradient, each further one a
  position before.

  Returns:
    a list of (first, positions, start in the padded gradient, reach, last
    tap), the zeros before the gradient, and its length with zeros around.
  """
  found = []
  for phase in range(stride):
    first = (phase - padding) % stride
    reach = len(range(phase, taps, stride))
    ahead = (first + padding - phase) // stride
    positions = len(range(first, size, stride))
    last = phase + stride * (reach - 1)
    found.append((first, positions, ahead - max(reach - 1, 0), reach, last))
  before = max(0, *(-start for _, _, start, _, _ in found))
  found = [(a, b, start + before, d, e) for a, b, start, d, e in found]
  length = max(b - 1 + start + d for _, b, start, d, _ in found)
  return found, before, max(1, length)


def _plan(step, out_step, rows, columns, tap_row, tap_column):
  """Returns the numbers that the loops go by, as `strided_product` reads them.

  Args:
    step: of the map, from one result to the next.
    out_step: of the result, in one phase.
    rows: as of `_phases`.
    columns: as of `_phases`.
    tap_row: taps of the kernel from one row of a patch to the next.
    tap_column: and from one position to the next.
  """
  row_phases, above, high = rows
  column_phases, left, wide = columns
  phases = []
  for first, results, start, reach, tap in row_phases:
    for column, across, at, width, beside in column_phases:
      tap_first = tap * abs(tap_row) // abs(tap_column) + beside
      phases += [first, column, results, across, start, at, reach, width]
      phases += [tap_first]
  count = len(row_phases) * len(column_phases)
  return (
    *(step, out_step, above, left, wide, high, count, tap_row, tap_column),
    *phases,
  )
