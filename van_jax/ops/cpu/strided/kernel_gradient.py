"""XLA's handler of a strided convolution's gradient for its kernel.

Each item is a row of the kernel and some channels out. It goes through all
examples, so that no two threads add to the same number.
"""

from van_jax.ops.cpu import call_frame, machine, threads
from van_jax.ops.cpu.compiled import c_function, compiled
from van_jax.ops.cpu.machine import BYTES, LANES
from van_jax.ops.cpu.strided import microkernels as kernels
from van_jax.ops.cpu.strided.microkernels import ROWS
from van_jax.ops.cpu.strided.packing import clear, load_map, load_panel

_ITEMS = 3  # Wanted for each thread.
_TWELVE = ROWS[1]
_POSITIONS = 1024  # Added up before they meet the sum of all: more would round.

# Attributes of a call, sorted by name as XLA does.
_TAPS_WIDE, _PADDING, _TAPS_HIGH, _STRIDE = range(4)
# A job's numbers: addresses, sizes, attributes, and items a row of taps.
(_X, _G, _OUT, _BATCH, _HEIGHT, _WIDTH, _DEPTH, _ROWS, _COLUMNS, _CHANNELS,
 _HIGH, _WIDE, _STEP, _BEFORE, _CHUNKS) = range(15)  # fmt: skip


@compiled
def _correlate(size, wide, x, row, pixel, rows, columns, panel, out,
               out_pitch):  # fmt: skip
  """Calls the microkernel for so many rows of sums."""
  if wide:
    if size == ROWS[0]:
      kernels.correlate_14(x, row, pixel, rows, columns, panel, out, out_pitch)
    elif size == ROWS[1]:
      kernels.correlate_12(x, row, pixel, rows, columns, panel, out, out_pitch)
    elif size == ROWS[2]:
      kernels.correlate_7(x, row, pixel, rows, columns, panel, out, out_pitch)
    elif size == ROWS[3]:
      kernels.correlate_4(x, row, pixel, rows, columns, panel, out, out_pitch)
    elif size == ROWS[4]:
      kernels.correlate_2(x, row, pixel, rows, columns, panel, out, out_pitch)
    else:
      kernels.correlate_1(x, row, pixel, rows, columns, panel, out, out_pitch)
  elif size == ROWS[0]:
    kernels.thin_14(x, row, pixel, rows, columns, panel, out, out_pitch)
  elif size == ROWS[1]:
    kernels.thin_12(x, row, pixel, rows, columns, panel, out, out_pitch)
  elif size == ROWS[2]:
    kernels.thin_7(x, row, pixel, rows, columns, panel, out, out_pitch)
  elif size == ROWS[3]:
    kernels.thin_4(x, row, pixel, rows, columns, panel, out, out_pitch)
  elif size == ROWS[4]:
    kernels.thin_2(x, row, pixel, rows, columns, panel, out, out_pitch)
  else:
    kernels.thin_1(x, row, pixel, rows, columns, panel, out, out_pitch)


@compiled
def _rows_at_once(left, all_rows):
  """Returns how many rows of sums the next microkernel takes."""
  if all_rows % _TWELVE == 0:
    return _TWELVE
  for size in ROWS:
    if left >= size:
      return size
  return 1


@compiled
def _columns(job):
  """Returns the positions of a row of the copy of a map."""
  step, columns = threads.number(job, _STEP), threads.number(job, _COLUMNS)
  return (columns - 1) * step + threads.number(job, _WIDE)


@compiled
def _item(job, item, memory):
  chunks = threads.number(job, _CHUNKS)
  channels = threads.number(job, _CHANNELS)
  p, chunk = item // chunks, item % chunks
  height, width = threads.number(job, _HEIGHT), threads.number(job, _WIDTH)
  rows, columns = threads.number(job, _ROWS), threads.number(job, _COLUMNS)
  step, before = threads.number(job, _STEP), threads.number(job, _BEFORE)
  depth = threads.number(job, _DEPTH)
  pixel, pitch = 4 * depth, 4 * channels
  length, line = threads.number(job, _WIDE) * depth, _columns(job)
  panel = memory + (rows * line * pixel + BYTES - 1) // BYTES * BYTES
  blocks = (channels + 2 * LANES - 1) // (2 * LANES)
  band = max(1, _POSITIONS // columns)
  first, stop = blocks * chunk // chunks, blocks * (chunk + 1) // chunks
  out = threads.number(job, _OUT) + p * length * pitch
  for n in range(length):
    at = first * 2 * BYTES
    clear(out + n * pitch + at, min(stop * 2 * BYTES, pitch) - at)
  for example in range(threads.number(job, _BATCH)):
    source = threads.number(job, _X) + example * height * width * pixel
    load_map(source, height, width, pixel, before, line, p - before, step,
             rows, memory)  # fmt: skip
    errors = threads.number(job, _G) + example * rows * columns * pitch
    for block in range(first, stop):
      at = block * 2 * BYTES
      wide = pitch - at >= 2 * BYTES
      load_panel(errors + at, pitch, rows * columns,
                 2 * BYTES if wide else BYTES, panel)  # fmt: skip
      vectors = 2 if wide else 1
      for start in range(0, rows, band):
        n = 0
        while n < length:
          size = _rows_at_once(length - n, length)
          _correlate(
            size, wide, memory + start * line * pixel + 4 * n, line * pixel,
            step * pixel, min(band, rows - start), columns,
            panel + start * columns * vectors * BYTES, out + n * pitch + at,
            pitch,
          )  # fmt: skip
          n += size


@compiled
def _work(job):
  item = threads.claim(job)
  if item < 0:
    return
  rows = threads.number(job, _ROWS)
  size = rows * _columns(job) * threads.number(job, _DEPTH) * 4
  size += rows * threads.number(job, _COLUMNS) * 2 * BYTES
  block = machine.malloc(size + 2 * BYTES)
  while item >= 0:
    _item(job, item, (block + BYTES - 1) // BYTES * BYTES)
    threads.finish(job)
    item = threads.claim(job)
  machine.free(block)


_task = threads.address_of_task(_work)


@c_function
def handler(frame):
  """Computes the gradient from (x, gradient); see `strided_numba`."""
  if call_frame.answered_metadata(frame):
    return 0
  high = call_frame.attribute(frame, _TAPS_HIGH)
  channels = call_frame.size(frame, 1, 3)
  blocks = (channels + 2 * LANES - 1) // (2 * LANES)
  pool = call_frame.thread_count(frame)
  chunks = max(1, min(blocks, (_ITEMS * pool + high - 1) // high))
  sizes = (
    call_frame.argument(frame, 0),
    call_frame.argument(frame, 1),
    call_frame.result(frame, 0),
    call_frame.size(frame, 0, 0),
    call_frame.size(frame, 0, 1),
    call_frame.size(frame, 0, 2),
    call_frame.size(frame, 0, 3),
    call_frame.size(frame, 1, 1),
    call_frame.size(frame, 1, 2),
    channels,
  )
  attributes = (
    high,
    call_frame.attribute(frame, _TAPS_WIDE),
    call_frame.attribute(frame, _STRIDE),
    call_frame.attribute(frame, _PADDING),
    chunks,
  )
  items = high * chunks
  job = threads.new_job(items, sizes, attributes)
  threads.share(frame, job, _task(), min(pool, items) - 1)
  _work(job)
  threads.wait(job)
  threads.leave(job)
  return 0
