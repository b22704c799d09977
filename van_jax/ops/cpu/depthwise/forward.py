"""XLA's handler of the forward convolution, or of its GELU."""

from van_jax.ops.cpu import call_frame, machine, threads
from van_jax.ops.cpu.compiled import c_function, compiled
from van_jax.ops.cpu.depthwise import (
  loops as numba_kernels,
  packing,
  plan as scratch,
)
from van_jax.ops.cpu.machine import BYTES, LANES

# A job's numbers.
_X, _KERNEL, _BIAS, _INPUT_BIAS, _GELU, _RESULT, _SLOPE = range(11, 18)


@compiled
def _piece(
  problem, plan, item, x, kernel, bias, input_bias, gelu, result, slope, memory
):
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
  numba_kernels.load_bias(bias, group, channels, biases)
  numba_kernels.load_bias(input_bias, group, channels, input_biases)
  numba_kernels.load_map(
    problem, plan, x + example * image, input_biases, 0, group, channels, low,
    high, memory, plan.before,
  )  # fmt: skip
  numba_kernels.load_kernel(problem, plan, kernel, group, channels, taps, False)
  stride = problem.channels * size
  offset = example * image + group * LANES * size
  for i in range(start, stop):
    for g in range((channels + LANES - 1) // LANES):
      numba_kernels.convolve_row(
        problem, plan, memory + g * group_pitch, low, problem.top, i,
        taps + g * taps_pitch, biases + g * BYTES,
        row + g * plan.length * BYTES,
      )  # fmt: skip
      if slope:
        packing.apply_gelu_with_slope(
          row + g * plan.length * BYTES, slopes + g * plan.length * BYTES,
          problem.width,
        )  # fmt: skip
      elif gelu:
        packing.apply_gelu(row + g * plan.length * BYTES, problem.width)
    to = offset + i * problem.width * stride
    numba_kernels.store_row(problem, plan, result + to, channels, row, spare)
    if slope:
      numba_kernels.store_row(
        problem, plan, slope + to, channels, slopes, spare
      )


@compiled
def _work(job):
  item = threads.claim(job)
  if item < 0:
    return
  problem = scratch.problem_of(job)
  plan = scratch.plan(problem, 1, problem.batch)
  vectors = 5 + plan.chunk * (
    plan.rows * plan.pitch // BYTES
    + problem.taps_high * plan.columns
    + 2
    + 2 * plan.length
  )
  block = machine.malloc((vectors + 1) * BYTES)
  memory = (block + BYTES - 1) // BYTES * BYTES
  while item >= 0:
    _piece(
      problem,
      plan,
      item,
      threads.number(job, _X),
      threads.number(job, _KERNEL),
      threads.number(job, _BIAS),
      threads.number(job, _INPUT_BIAS),
      threads.number(job, _GELU),
      threads.number(job, _RESULT),
      threads.number(job, _SLOPE),
      memory,
    )
    threads.finish(job)
    item = threads.claim(job)
  machine.free(block)


_task = threads.address_of_task(_work)


@c_function
def handler(frame):
  """Computes results from (x, kernel, bias, input bias); see `numba_cpu`."""
  if call_frame.answered_metadata(frame):
    return 0
  problem = scratch.problem_from(frame, 1)
  plan = scratch.plan(problem, 1, problem.batch)
  items = problem.batch * plan.chunks * plan.bands
  gelu = call_frame.attribute(frame, scratch.GELU)
  addresses = (
    call_frame.argument(frame, 0),
    call_frame.argument(frame, 1),
    call_frame.argument(frame, 2),
    call_frame.argument(frame, 3),
    gelu,
    call_frame.result(frame, 0),
    call_frame.result(frame, 1) if gelu == scratch.WITH_SLOPE else 0,
  )
  job = threads.new_job(items, problem, addresses)
  threads.share(frame, job, _task(), min(problem.threads, items) - 1)
  _work(job)
  threads.wait(job)
  threads.leave(job)
  return 0
