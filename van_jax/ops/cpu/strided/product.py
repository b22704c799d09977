"""XLA's handler of strided convolutions: products with rows of the map.

A row of a k x k patch is k * C neighbouring numbers of an NHWC map, so that a
convolution is a matrix product that reads its patches where they are: from a
copy of the map with zeros around it, which the cache holds, or from the map.
"""

from numba import types

from van_jax.ops.cpu import call_frame, machine, threads
from van_jax.ops.cpu.compiled import c_function, compiled
from van_jax.ops.cpu.machine import BYTES, LANES
from van_jax.ops.cpu.strided import (
  loops as strided_loops,
  packing as strided_packing,
)

_CACHE = 1 << 19  # Bytes of a map's copy, of an L2 of at least twice that;
_MAPS = 3 << 18  # of several maps' copies.
_ITEMS = 4  # Wanted for each thread, so that none waits long for another.
_POSITIONS = 196  # Of an item at least: its panels are packed for them.
_MAP_FIELDS, _PHASE_FIELDS = 9, 9


@compiled
def _planned(plan, n):
  return types.int64(machine.load_int32(plan + 4 * n))


# A product job's numbers: addresses, sizes, and how it is cut into items.
(_X, _W, _PLAN, _OUT, _BATCH, _HEIGHT, _WIDTH, _DEPTH, _OUT_HEIGHT,
 _OUT_WIDTH, _CHANNELS, _INNER, _GROUP, _BANDS, _BAND, _CHUNKS,
 _ROWS) = range(17)  # fmt: skip


@compiled
def _load_weights(job, of, first, size, panel):
  """Packs the weights of a phase for some channels, tap by tap."""
  plan, depth = threads.number(job, _PLAN), threads.number(job, _DEPTH)
  taps, across = _planned(plan, of + 6), _planned(plan, of + 7)
  start, pitch = _planned(plan, of + 8), 4 * threads.number(job, _CHANNELS)
  weights = threads.number(job, _W) + first * 4
  for p in range(taps):
    for q in range(across):
      tap = start + p * _planned(plan, 7) + q * _planned(plan, 8)
      strided_packing.load_panel(
        weights + tap * depth * pitch, pitch, depth, size, panel
      )
      panel += depth * size


@compiled
def _load_maps(job, first, stop, start, memory):
  """Copies what a band of results reads of some examples."""
  plan, pixel = threads.number(job, _PLAN), 4 * threads.number(job, _DEPTH)
  height, width = threads.number(job, _HEIGHT), threads.number(job, _WIDTH)
  rows, columns = threads.number(job, _ROWS), _planned(plan, 4)
  top = start * _planned(plan, 0) - _planned(plan, 2)
  for example in range(first, stop):
    strided_packing.load_map(
      threads.number(job, _X) + example * height * width * pixel, height, width,
      pixel, _planned(plan, 3), columns, top, 1, rows,
      memory + (example - first) * rows * columns * pixel,
    )  # fmt: skip


@compiled
def _reads_in_place(job):
  """Returns whether patches are neighbours and have no zeros around them."""
  plan = threads.number(job, _PLAN)
  step, above, left = _planned(plan, 0), _planned(plan, 2), _planned(plan, 3)
  wide = _planned(plan, 4) == threads.number(job, _WIDTH)
  high = _planned(plan, 5) == threads.number(job, _HEIGHT)
  return step == 1 and above == 0 and left == 0 and wide and high


@compiled
def _item(job, item, memory):
  plan = threads.number(job, _PLAN)
  step, out_step = _planned(plan, 0), _planned(plan, 1)
  columns, depth = _planned(plan, 4), threads.number(job, _DEPTH)
  bands, chunks = threads.number(job, _BANDS), threads.number(job, _CHUNKS)
  group, band = threads.number(job, _GROUP), threads.number(job, _BAND)
  example, chunk = item // (bands * chunks) * group, item % chunks
  last = min(threads.number(job, _BATCH), example + group)
  start = item // chunks % bands * band
  pixel, channels = 4 * depth, threads.number(job, _CHANNELS)
  image = threads.number(job, _ROWS) * columns * pixel
  panel = memory + (group * image + BYTES - 1) // BYTES * BYTES
  if _reads_in_place(job):
    image = threads.number(job, _HEIGHT) * columns * pixel
    memory = threads.number(job, _X) + example * image + start * columns * pixel
  else:
    _load_maps(job, example, last, start, memory)
  out_line = threads.number(job, _OUT_WIDTH) * 4 * channels
  out_image = threads.number(job, _OUT_HEIGHT) * out_line
  blocks = (channels + 2 * LANES - 1) // (2 * LANES)
  for block in range(blocks * chunk // chunks, blocks * (chunk + 1) // chunks):
    first = block * 2 * LANES
    wide = channels - first >= 2 * LANES
    for phase in range(_planned(plan, 6)):
      of = _MAP_FIELDS + phase * _PHASE_FIELDS
      rows = min(band, _planned(plan, of + 2) - start)
      if rows <= 0:
        continue
      _load_weights(job, of, first, 2 * BYTES if wide else BYTES, panel)
      at = _planned(plan, of + 4) * columns + _planned(plan, of + 5)
      to = (_planned(plan, of) + start * out_step) * out_line
      to += (_planned(plan, of + 1) * channels + first) * 4
      for n in range(example, last):
        strided_loops.multiply_rows(
          memory + (n - example) * image + at * pixel, step * pixel,
          step * columns * pixel, columns * pixel, _planned(plan, of + 6),
          _planned(plan, of + 7) * depth, panel, wide,
          threads.number(job, _OUT) + n * out_image + to,
          out_step * 4 * channels, out_step * out_line, rows,
          _planned(plan, of + 3),
        )  # fmt: skip


@compiled
def _work(job):
  item = threads.claim(job)
  if item < 0:
    return
  columns = _planned(threads.number(job, _PLAN), 4)
  size = threads.number(job, _GROUP) * threads.number(job, _ROWS) * columns
  size *= threads.number(job, _DEPTH) * 4
  size += threads.number(job, _INNER) * 2 * BYTES
  block = machine.malloc(size + 2 * BYTES)
  while item >= 0:
    _item(job, item, (block + BYTES - 1) // BYTES * BYTES)
    threads.finish(job)
    item = threads.claim(job)
  machine.free(block)


_task = threads.address_of_task(_work)


@c_function
def handler(frame):
  """Computes a convolution from (x, weights, plan); see `strided_numba`."""
  if call_frame.answered_metadata(frame):
    return 0
  plan = call_frame.argument(frame, 2)
  batch, depth = call_frame.size(frame, 0, 0), call_frame.size(frame, 0, 3)
  channels = call_frame.size(frame, 1, 1)
  span, most, positions = 0, 0, 0
  for phase in range(_planned(plan, 6)):
    of = _MAP_FIELDS + phase * _PHASE_FIELDS
    span = max(span, _planned(plan, of + 4) + _planned(plan, of + 6))
    most = max(most, _planned(plan, of + 2))
    positions += _planned(plan, of + 2) * _planned(plan, of + 3)
  pool = call_frame.thread_count(frame)
  wanted = _ITEMS * pool
  line = _planned(plan, 0) * _planned(plan, 4) * depth * 4
  bands = min((wanted + batch - 1) // batch, positions // _POSITIONS)
  bands = max(1, min(most, max(bands, most * line // _CACHE)))
  band = (most + bands - 1) // bands
  bands = (most + band - 1) // band
  rows = (band - 1) * _planned(plan, 0) + span
  group = 1
  if bands == 1:
    group = max(1, _MAPS // (rows * _planned(plan, 4) * depth * 4))
  groups = (batch + group - 1) // group
  group = (batch + groups - 1) // groups
  blocks = (channels + 2 * LANES - 1) // (2 * LANES)
  pieces = groups * bands
  chunks = max(1, min(blocks, (wanted + pieces - 1) // pieces))
  numbers = (
    call_frame.argument(frame, 0),
    call_frame.argument(frame, 1),
    plan,
    call_frame.result(frame, 0),
    batch,
    call_frame.size(frame, 0, 1),
    call_frame.size(frame, 0, 2),
    depth,
    _planned(plan, _MAP_FIELDS + _planned(plan, 6) * _PHASE_FIELDS),
    _planned(plan, _MAP_FIELDS + _planned(plan, 6) * _PHASE_FIELDS + 1),
    channels,
    call_frame.size(frame, 1, 0),
  )
  items = pieces * chunks
  job = threads.new_job(items, numbers, (group, bands, band, chunks, rows))
  threads.share(frame, job, _task(), min(pool, items) - 1)
  _work(job)
  threads.wait(job)
  threads.leave(job)
  return 0
