"""Depthwise convolution in loops compiled by Numba, for one piece of it.

A piece is a band of rows of one example, a chunk of its channels. Maps are
copied into scratch memory once, with zeros where taps look past their ends,
and are then read there by every tap.
"""

from van_jax.ops.cpu.compiled import compiled
from van_jax.ops.cpu.depthwise import microkernels, packing
from van_jax.ops.cpu.depthwise.microkernels import BLOCK, HALF_BLOCK
from van_jax.ops.cpu.machine import BYTES, LANES

_LARGE = 1 << 25  # Bytes of a map of which little would stay in the cache.


@compiled
def load_map(
  problem, plan, source, bias, factors, group, channels, start, stop, to, before
):
  """Copies rows start <= i < stop of an example into scratch memory.

  Args:
    problem: a plan.Problem.
    plan: its plan.Plan.
    source: address of the example.
    bias: address of a vector for each group, added within the map; 0: none.
    factors: address of an example that it is multiplied by; 0: none.
    group: the first of channels.
    channels: how many.
    start: first row.
    stop: behind the last row.
    to: address in scratch memory.
    before: zeros before a row.
  """
  size = 2 if problem.half else 4
  stride = problem.channels * size
  spare = to + plan.chunk * plan.rows * plan.pitch
  for i in range(start, stop):
    row = to + (i - start) * plan.pitch
    for g in range((channels + LANES - 1) // LANES):
      of_group = row + g * plan.rows * plan.pitch
      packing.clear(of_group, 0, before)
      packing.clear(of_group, before + problem.width, plan.pitch // BYTES)
    offset = i * problem.width * stride + group * LANES * size
    packing.load_changed_row(
      source + offset,
      problem.half,
      stride,
      problem.width,
      channels,
      row + before * BYTES,
      plan.rows * plan.pitch,
      spare,
      bias,
      factors + offset if factors else 0,
    )


@compiled
def store_row(problem, plan, target, channels, row, spare):
  """Stores a row of a chunk of channels."""
  stride = problem.channels * (2 if problem.half else 4)
  pitch = plan.length * BYTES
  whole = problem.channels % LANES == 0 and target % BYTES == 0
  size = problem.batch * problem.height * problem.width * stride
  if size >= _LARGE and whole and not problem.half:
    packing.stream_row(target, stride, problem.width, channels, row, pitch)
  else:
    packing.store_row(
      target, problem.half, stride, problem.width, channels, row, pitch, spare
    )


@compiled
def load_kernel(problem, plan, kernel, group, channels, to, flipped):
  """Copies the taps that meet the map; a group of channels after another."""
  high, wide, columns = problem.taps_high, problem.taps_wide, plan.columns
  spare = to + plan.chunk * high * columns * BYTES
  for p in range(high):
    for q in range(columns):
      row, column = p, plan.first + q
      if flipped:
        row, column = high - 1 - p, plan.first + columns - 1 - q
      tap = (row * wide + column) * problem.channels + group * LANES
      packing.load_row(
        kernel + tap * 4,
        False,
        0,
        1,
        channels,
        to + (p * columns + q) * BYTES,
        high * columns * BYTES,
        spare,
      )


@compiled
def load_bias(bias, group, channels, to):
  """Copies the numbers of a chunk of channels, a vector for each group."""
  spare = to + (channels + LANES - 1) // LANES * BYTES
  packing.load_row(
    bias + group * LANES * 4, False, 0, 1, channels, to, BYTES, spare
  )


@compiled
def convolve_row(problem, plan, scratch, start, top, i, kernel, bias, out):
  """Convolves row i of one group of channels.

  Args:
    problem: a plan.Problem.
    plan: its plan.Plan.
    scratch: address of the group's map where the first tap looks.
    start: which row the map begins with.
    top: how many rows before i the first row of taps looks.
    i: the row.
    kernel: address of the group's taps.
    bias: address of the group's bias.
    out: address of the row, plan.length vectors.
  """
  step = problem.dilation
  first = max(0, -((i - top) // step))  # Rounds up.
  stop = min(problem.taps_high, (problem.height - 1 - i + top) // step + 1)
  x = scratch + (i - top + first * step - start) * plan.pitch
  taps = kernel + first * plan.columns * BYTES
  pitch, hop, taps_pitch = step * plan.pitch, step * BYTES, plan.columns * BYTES
  rows = max(0, stop - first)
  j = 0
  while problem.width - j > HALF_BLOCK:
    microkernels.convolve_block(
      x + j * BYTES, pitch, hop, rows, plan.columns, taps, taps_pitch, bias,
      out + j * BYTES,
    )  # fmt: skip
    j += BLOCK
  if j < problem.width:
    microkernels.convolve_half_block(
      x + j * BYTES, pitch, hop, rows, plan.columns, taps, taps_pitch, bias,
      out + j * BYTES,
    )  # fmt: skip


@compiled
def sum_map(problem, plan, x, x_start, gradient, start, first, stop, out):
  """Adds up a group's gradients for kernel and bias, first <= i < stop.

  Args:
    problem: a plan.Problem.
    plan: its plan.Plan.
    x: address of the group's map, plan.before zeros before its rows.
    x_start: which row it begins with.
    gradient: address of the gradient's map, at its first position.
    start: which row it begins with.
    first: first row.
    stop: behind the last row.
    out: address of a vector for each tap, and one for the bias.
  """
  hop = problem.dilation * BYTES
  microkernels.add_up(
    gradient + (first - start) * plan.pitch, plan.pitch, stop - first,
    problem.width, out + problem.taps_high * problem.taps_wide * BYTES,
  )  # fmt: skip
  for p in range(problem.taps_high):
    offset = p * problem.dilation - problem.top
    low, high = max(first, -offset), min(stop, problem.height - offset)
    if high <= low:
      continue
    of_x = x + (low + offset - x_start) * plan.pitch
    errors = gradient + (low - start) * plan.pitch
    q = 0
    while q < plan.columns:
      left = plan.columns - q
      to = out + (p * problem.taps_wide + plan.first + q) * BYTES
      at, rows, length = of_x + q * hop, high - low, problem.width
      if left >= 7:
        microkernels.correlate_7(at, errors, plan.pitch, hop, rows, length, to)
        q += 7
      elif left >= 5:
        microkernels.correlate_5(at, errors, plan.pitch, hop, rows, length, to)
        q += 5
      elif left >= 3:
        microkernels.correlate_3(at, errors, plan.pitch, hop, rows, length, to)
        q += 3
      else:
        microkernels.correlate_1(at, errors, plan.pitch, hop, rows, length, to)
        q += 1
