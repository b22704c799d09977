"""XLA's handler of the forward convolution, or of its GELU."""

import collections

from van_jax.ops.cpu import call_frame, machine, threads
from van_jax.ops.cpu.compiled import c_function, compiled
from van_jax.ops.cpu.depthwise import loops, packing
from van_jax.ops.cpu.depthwise.plan import (
  GELU,
  WITH_SLOPE,
  Problem,
  divide_up,
  make_plan,
  problem_from,
)
from van_jax.ops.cpu.machine import BYTES, LANES

# Addresses, but for `gelu`, which says what is asked for; slope: 0 for none.
Arrays = collections.namedtuple(
  "Arrays", "x kernel bias input_bias gelu result slope"
)


@compiled
def _piece(problem, plan, arrays, item, memory):
  size = 2 if problem.half else 4
  piece, band = item // plan.bands, item % plan.bands
  example, chunk = piece // plan.chunks, piece % plan.chunks
  group = chunk * plan.chunk
  channels = min(plan.chunk * LANES, problem.channels - group * LANES)
  start, stop = band * plan.band, min((band + 1) * plan.band, problem.height)
  halo = (problem.taps_high - 1) * problem.dilation
  low = max(0, start - problem.top)
  high = min(problem.height, stop - problem.top + halo)

  group_pitch = plan.rows * plan.pitch
  taps = memory + plan.chunk * group_pitch + BYTES
  taps_pitch = problem.taps_high * plan.columns * BYTES
  biases = taps + plan.chunk * taps_pitch + BYTES
  input_biases = biases + plan.chunk * BYTES + BYTES
  row = input_biases + plan.chunk * BYTES + BYTES
  slopes = row + plan.chunk * plan.length * BYTES
  spare = slopes + plan.chunk * plan.length * BYTES
  image = problem.height * problem.width * problem.channels * size
  loops.load_bias(arrays.bias, group, channels, biases)
  loops.load_bias(arrays.input_bias, group, channels, input_biases)
  loops.load_map(
    problem, plan, arrays.x + example * image, input_biases, 0, group, channels,
    low, high, memory, plan.before,
  )  # fmt: skip
  loops.load_kernel(problem, plan, arrays.kernel, group, channels, taps, False)
  stride = problem.channels * size
  offset = example * image + group * LANES * size
  for i in range(start, stop):
    for g in range(divide_up(channels, LANES)):
      loops.convolve_row(
        problem, plan, memory + g * group_pitch, low, problem.top, i,
        taps + g * taps_pitch, biases + g * BYTES,
        row + g * plan.length * BYTES,
      )  # fmt: skip
      if arrays.slope:
        packing.apply_gelu_with_slope(
          row + g * plan.length * BYTES, slopes + g * plan.length * BYTES,
          problem.width,
        )  # fmt: skip
      elif arrays.gelu:
        packing.apply_gelu(row + g * plan.length * BYTES, problem.width)
    to = offset + i * problem.width * stride
    loops.store_row(problem, plan, arrays.result + to, channels, row, spare)
    if arrays.slope:
      loops.store_row(problem, plan, arrays.slope + to, channels, slopes, spare)


@compiled
def _work(job):
  item = threads.claim(job)
  if item < 0:
    return
  problem = threads.fields(job, 0, Problem)
  arrays = threads.fields(job, len(problem), Arrays)
  plan = make_plan(problem, 1, problem.batch)
  vectors = 5 + plan.chunk * (
    plan.rows * plan.pitch // BYTES
    + problem.taps_high * plan.columns
    + 2
    + 2 * plan.length
  )
  block = machine.malloc((vectors + 1) * BYTES)
  memory = divide_up(block, BYTES) * BYTES
  while item >= 0:
    _piece(problem, plan, arrays, item, memory)
    threads.finish(job)
    item = threads.claim(job)
  machine.free(block)


_task = threads.address_of_task(_work)


@c_function
def handler(frame):
  """Computes results from (x, kernel, bias, input bias); see `call`."""
  if call_frame.answered_metadata(frame):
    return 0
  problem = problem_from(frame, 1)
  plan = make_plan(problem, 1, problem.batch)
  items = problem.batch * plan.chunks * plan.bands
  gelu = call_frame.attribute(frame, GELU)
  arrays = Arrays(
    x=call_frame.argument(frame, 0),
    kernel=call_frame.argument(frame, 1),
    bias=call_frame.argument(frame, 2),
    input_bias=call_frame.argument(frame, 3),
    gelu=gelu,
    result=call_frame.result(frame, 0),
    slope=call_frame.result(frame, 1) if gelu == WITH_SLOPE else 0,
  )
  job = threads.new_job(items, problem, arrays)
  threads.share(frame, job, _task(), min(problem.threads, items) - 1)
  _work(job)
  threads.wait(job)
  threads.leave(job)
  return 0
