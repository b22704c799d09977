"""XLA's handler of the gradients for x, kernel and biases, in one pass.

Sums over examples are cut into parts by shape alone, each added up in order
by whichever thread claims it, and the parts in order at the end: the result
does not depend on who did what.
"""

import collections

from van_jax.ops.cpu import call_frame, machine, threads
from van_jax.ops.cpu.compiled import c_function, compiled
from van_jax.ops.cpu.depthwise import loops, microkernels, packing
from van_jax.ops.cpu.depthwise.plan import (
  GELU,
  Problem,
  divide_up,
  make_plan,
  problem_from,
)
from van_jax.ops.cpu.machine import BYTES, LANES

# Addresses; slope: 0 for none.
Arrays = collections.namedtuple(
  "Arrays", "x kernel input_bias gradient x_gradient sums slope"
)
_PARTS = 8  # The batch's, at most: each has memory for a kernel's gradient.


@compiled
def _examples_a_part(batch):
  return divide_up(batch, _PARTS)


@compiled
def _sums_pitch(problem):
  """Returns the bytes of one group's sums: a vector a tap, one each bias."""
  return (problem.taps_high * problem.taps_wide + 2) * BYTES


@compiled
def _x_gradient_rows(
  problem, plan, gradient, low, start, stop, taps, channels, to, sums, memory
):
  """Computes the gradient for x of rows start <= i < stop, and adds it up."""
  # What a tap brought from o positions ahead goes back by o: the same sum
  # over the gradient, taps in reverse order, from as far as they reached.
  stride = problem.channels * (2 if problem.half else 4)
  zero, row = memory, memory + BYTES
  machine.store_vector(zero, machine.zeros())
  spare = row + plan.chunk * plan.length * BYTES
  reach = (problem.taps_high - 1) * problem.dilation - problem.top
  for i in range(start, stop):
    for g in range(divide_up(channels, LANES)):
      loops.convolve_row(
        problem, plan,
      gradient + g * plan.rows * plan.pitch + plan.short * BYTES, low, reach, i,
        taps + g * problem.taps_high * plan.columns * BYTES, zero,
        row + g * plan.length * BYTES,
      )  # fmt: skip
      packing.clear(row + g * plan.length * BYTES, problem.width, plan.length)
      microkernels.add_up(
        row + g * plan.length * BYTES, 0, 1, problem.width,
        sums + (g + 1) * _sums_pitch(problem) - BYTES,
      )  # fmt: skip
    loops.store_row(
      problem, plan, to + i * problem.width * stride, channels, row, spare
    )


@compiled
def _piece(problem, plan, arrays, example, band, chunk, sums, memory):
  """Computes the gradient for x of a piece, and adds up the others."""
  size = 2 if problem.half else 4
  group = chunk * plan.chunk
  channels = min(plan.chunk * LANES, problem.channels - group * LANES)
  start, stop = band * plan.band, min((band + 1) * plan.band, problem.height)
  halo = (problem.taps_high - 1) * problem.dilation
  top, bottom = problem.top, halo - problem.top
  image = problem.height * problem.width * problem.channels * size
  offset = example * image
  map_bytes = (plan.chunk * plan.rows * plan.pitch) + BYTES
  x, gradient = memory, memory + map_bytes
  taps = gradient + map_bytes
  biases = taps + plan.chunk * problem.taps_high * plan.columns * BYTES + BYTES
  rest = biases + plan.chunk * BYTES + BYTES
  x_low, low = max(0, start - top), max(0, start - bottom)
  x_high = min(problem.height, stop + bottom)
  high = min(problem.height, stop + top)
  loops.load_bias(arrays.input_bias, group, channels, biases)
  loops.load_map(
    problem, plan, arrays.x + offset, biases, 0, group, channels,
    x_low, x_high, x, plan.before,
  )  # fmt: skip
  slope = arrays.slope
  loops.load_map(
    problem, plan, arrays.gradient + offset, 0,
    slope + offset if slope else 0, group, channels, low, high, gradient,
    plan.after,
  )  # fmt: skip
  loops.load_kernel(problem, plan, arrays.kernel, group, channels, taps, True)
  _x_gradient_rows(
    problem, plan, gradient, low, start, stop, taps, channels,
    arrays.x_gradient + offset + group * LANES * size,
    sums + group * _sums_pitch(problem), rest,
  )  # fmt: skip
  for g in range(divide_up(channels, LANES)):
    loops.sum_map(
      problem, plan, x + g * plan.rows * plan.pitch, x_low,
      gradient + g * plan.rows * plan.pitch + plan.after * BYTES, low, start,
      stop, sums + (group + g) * _sums_pitch(problem),
    )  # fmt: skip


@compiled
def _work(job):
  item = threads.claim(job)
  if item < 0:
    return
  problem = threads.fields(job, 0, Problem)
  arrays = threads.fields(job, len(problem), Arrays)
  plan = make_plan(problem, 2, _PARTS)
  several = _examples_a_part(problem.batch)
  vectors = 6 + plan.chunk * (
    2 * (plan.rows * plan.pitch // BYTES)
    + problem.taps_high * plan.columns
    + 1
    + plan.length
  )
  block = machine.malloc((vectors + 1) * BYTES)
  memory = divide_up(block, BYTES) * BYTES
  while item >= 0:
    part, chunk = item // plan.chunks, item % plan.chunks
    batch_part, band = part // plan.bands, part % plan.bands
    sums = arrays.sums
    sums += part * plan.groups * _sums_pitch(problem)
    first = sums + chunk * plan.chunk * _sums_pitch(problem)
    last = min(plan.groups, (chunk + 1) * plan.chunk)
    bytes_of_chunk = (last - chunk * plan.chunk) * _sums_pitch(problem)
    packing.clear(first, 0, bytes_of_chunk // BYTES)
    begin = batch_part * several
    for example in range(begin, min(problem.batch, begin + several)):
      _piece(problem, plan, arrays, example, band, chunk, sums, memory)
    threads.finish(job)
    item = threads.claim(job)
  machine.free(block)


_task = threads.address_of_task(_work)


@compiled
def _add_parts(
  problem, plan, parts, sums, kernel_gradient, bias_gradient, input_gradient
):
  """Adds the parts' sums in order, and stores them."""
  taps = problem.taps_high * problem.taps_wide
  pitch = _sums_pitch(problem)
  for g in range(plan.groups):
    channels = min(LANES, problem.channels - g * LANES)
    for tap in range(taps + 2):
      at = sums + g * pitch + tap * BYTES
      total = machine.load_vector(at)
      for part in range(1, parts):
        more = machine.load_vector(at + part * plan.groups * pitch)
        total = machine.add(total, more)
      machine.store_vector(at, total)
      to = bias_gradient
      if tap < taps:
        to = kernel_gradient + tap * problem.channels * 4
      elif tap > taps:
        to = input_gradient
      packing.store_row(
        to + g * BYTES, False, 0, 1, channels, at, 0, sums + g * pitch
      )


@c_function
def handler(frame):
  """Computes gradients from (x, kernel, input bias, gradient, ...)."""
  if call_frame.answered_metadata(frame):
    return 0
  problem = problem_from(frame, 1)
  plan = make_plan(problem, 2, _PARTS)
  parts = plan.bands * divide_up(problem.batch, _examples_a_part(problem.batch))
  block = machine.malloc(parts * plan.groups * _sums_pitch(problem) + 2 * BYTES)
  sums = divide_up(block, BYTES) * BYTES
  gelu = call_frame.attribute(frame, GELU) != 0
  arrays = Arrays(
    x=call_frame.argument(frame, 0),
    kernel=call_frame.argument(frame, 1),
    input_bias=call_frame.argument(frame, 2),
    gradient=call_frame.argument(frame, 3),
    x_gradient=call_frame.result(frame, 0),
    sums=sums,
    slope=call_frame.argument(frame, 4) if gelu else 0,
  )
  items = parts * plan.chunks
  job = threads.new_job(items, problem, arrays)
  threads.share(frame, job, _task(), min(problem.threads, items) - 1)
  _work(job)
  threads.wait(job)
  threads.leave(job)
  _add_parts(
    problem, plan, parts, sums, call_frame.result(frame, 1),
    call_frame.result(frame, 2), call_frame.result(frame, 3),
  )  # fmt: skip
  machine.free(block)
  return 0
