"""XLA's handler of strided convolutions: products with rows of the map.

A row of a k x k patch is k * C neighbouring numbers of an NHWC map, so that a
convolution is a matrix product that reads its patches where they are: from a
copy of some rows of the map with zeros around it, which the cache holds.
"""

import collections

from numba import types

from van_jax.ops.cpu import call_frame, machine, threads
from van_jax.ops.cpu.compiled import c_function, compiled
from van_jax.ops.cpu.machine import BYTES
from van_jax.ops.cpu.strided.microkernel import CHANNELS, Block, multiply

_CACHE = 1 << 19  # Bytes of a map's copy, of an L2 of at least twice that;
_MAPS = 3 << 18  # of several maps' copies.
_ITEMS = 4  # Wanted for each thread, so that none waits long for another.
_POSITIONS = 196  # Of an item at least: its panels are packed for them.
_PADDING, _STRIDE = range(2)  # Attributes of a call, sorted by name.

# Addresses x, kernel, out; sizes of x (batch, height, width, depth), of the
# kernel (lines, taps) and of the result (rows, columns, channels). columns_in:
# of the copy of a map; reach: numbers of a row of a patch.
Conv = collections.namedtuple(
  "Conv",
  "x kernel out batch height width depth lines taps rows columns channels "
  "stride padding columns_in reach",
)
# Items are groups of examples, cut in bands of rows and chunks of channels.
# band: rows of results; rows_in: of the copy that they read.
Cut = collections.namedtuple("Cut", "group bands band rows_in chunks")

_copy = types.ExternalFunction(
  "memcpy", types.int64(types.int64, types.int64, types.int64)
)
_fill = types.ExternalFunction(
  "memset", types.int64(types.int64, types.int32, types.int64)
)


@compiled
def _conv_of(frame):
  """Returns the Conv of a call with (x, kernel)."""
  height, width = call_frame.size(frame, 0, 1), call_frame.size(frame, 0, 2)
  lines, taps = call_frame.size(frame, 1, 0), call_frame.size(frame, 1, 1)
  depth = call_frame.size(frame, 0, 3)
  stride = call_frame.attribute(frame, _STRIDE)
  padding = call_frame.attribute(frame, _PADDING)
  columns = (width + 2 * padding - taps) // stride + 1
  return Conv(
    x=call_frame.argument(frame, 0),
    kernel=call_frame.argument(frame, 1),
    out=call_frame.result(frame, 0),
    batch=call_frame.size(frame, 0, 0),
    height=height,
    width=width,
    depth=depth,
    lines=lines,
    taps=taps,
    rows=(height + 2 * padding - lines) // stride + 1,
    columns=columns,
    channels=call_frame.size(frame, 1, 3),
    stride=stride,
    padding=padding,
    columns_in=(columns - 1) * stride + taps,
    reach=taps * depth,
  )


@compiled
def _cut(conv, workers):
  """Returns the Cut of a convolution for so many threads."""
  wanted = _ITEMS * workers
  line = conv.stride * conv.columns_in * conv.depth * 4
  bands = min(
    (wanted + conv.batch - 1) // conv.batch,
    conv.rows * conv.columns // _POSITIONS,
  )
  bands = max(1, min(conv.rows, max(bands, conv.rows * line // _CACHE)))
  band = (conv.rows + bands - 1) // bands
  bands = (conv.rows + band - 1) // band
  rows_in = (band - 1) * conv.stride + conv.lines
  group = 1
  if bands == 1:
    image = rows_in * conv.columns_in * conv.depth * 4
    group = min(conv.batch, max(1, _MAPS // image))
  groups = (conv.batch + group - 1) // group
  chunks = (wanted + groups * bands - 1) // (groups * bands)
  return Cut(
    group=(conv.batch + groups - 1) // groups,
    bands=bands,
    band=band,
    rows_in=rows_in,
    chunks=max(1, min(conv.channels // CHANNELS, chunks)),
  )


@compiled
def _clear(address, size):
  """Fills so many bytes, if any, with zeros."""
  if size > 0:
    _fill(address, types.int32(0), size)


@compiled
def _load_map(conv, cut, example, start, to):
  """Copies what results from row `start` on read of an example."""
  pixel = 4 * conv.depth
  source = conv.x + example * conv.height * conv.width * pixel
  before = min(conv.padding, conv.columns_in)
  copied = max(0, min(conv.width, conv.columns_in - before))
  after = conv.columns_in - before - copied
  for n in range(cut.rows_in):
    row = start * conv.stride - conv.padding + n
    at = to + n * conv.columns_in * pixel
    if row < 0 or row >= conv.height:
      _clear(at, conv.columns_in * pixel)
      continue
    _clear(at, before * pixel)
    if copied > 0:
      place = source + row * conv.width * pixel
      _copy(at + before * pixel, place, copied * pixel)
    _clear(at + (before + copied) * pixel, after * pixel)


@compiled
def _load_panel(conv, block, to):
  """Packs the weights of a block of channels, number by number of a patch."""
  source, size = conv.kernel + block * 4 * CHANNELS, 4 * CHANNELS
  for n in range(conv.lines * conv.reach):
    for v in range(0, size, BYTES):
      value = machine.load_vector(source + n * conv.channels * 4 + v)
      machine.store_vector(to + n * size + v, value)


@compiled
def _multiply_rows(conv, x, panel, out, rows):
  """Computes so many rows of results for a panel's channels.

  Args:
    conv: the Conv.
    x: address of the first row's patches.
    panel: address of the weights.
    out: address of the first result.
    rows: how many.
  """
  x_column, out_column = 4 * conv.stride * conv.depth, 4 * conv.channels
  line, out_row = 4 * conv.columns_in * conv.depth, conv.columns * out_column
  for row in range(0, rows, 2):
    # The last row of an odd number is both rows of its blocks.
    second = 1 if row + 1 < rows else 0
    n = 0
    while n < conv.columns:
      n += multiply(
        Block(
          x=x + row * conv.stride * line + n * x_column,
          x_row=second * conv.stride * line,
          x_column=x_column,
          line=line,
          lines=conv.lines,
          length=conv.reach,
          panel=panel,
          out=out + row * out_row + n * out_column,
          out_row=second * out_row,
          out_column=out_column,
          columns=conv.columns - n,
        )
      )


@compiled
def _item(conv, cut, item, memory):
  """Computes an item; `memory` holds its copies of maps, then a panel."""
  chunk, piece = item % cut.chunks, item // cut.chunks
  start = piece % cut.bands * cut.band
  first = piece // cut.bands * cut.group
  last = min(conv.batch, first + cut.group)
  image = cut.rows_in * conv.columns_in * conv.depth * 4
  panel = memory + (cut.group * image + BYTES - 1) // BYTES * BYTES
  for example in range(first, last):
    _load_map(conv, cut, example, start, memory + (example - first) * image)
  blocks = conv.channels // CHANNELS
  rows = min(cut.band, conv.rows - start)
  for block in range(
    blocks * chunk // cut.chunks, blocks * (chunk + 1) // cut.chunks
  ):
    _load_panel(conv, block, panel)
    for example in range(first, last):
      to = (example * conv.rows + start) * conv.columns * conv.channels
      out = conv.out + 4 * (to + block * CHANNELS)
      at = memory + (example - first) * image
      _multiply_rows(conv, at, panel, out, rows)


@compiled
def _work(job):
  item = threads.claim(job)
  if item < 0:
    return
  conv = threads.fields(job, 0, Conv)
  cut = threads.fields(job, len(conv), Cut)
  size = cut.group * cut.rows_in * conv.columns_in * conv.depth
  size += conv.lines * conv.reach * CHANNELS
  block = machine.malloc(4 * size + 2 * BYTES)
  while item >= 0:
    _item(conv, cut, item, (block + BYTES - 1) // BYTES * BYTES)
    threads.finish(job)
    item = threads.claim(job)
  machine.free(block)


_task = threads.address_of_task(_work)


@c_function
def handler(frame):
  """Computes a convolution from (x, kernel); see `call`."""
  if call_frame.answered_metadata(frame):
    return 0
  conv = _conv_of(frame)
  workers = call_frame.thread_count(frame)
  cut = _cut(conv, workers)
  groups = (conv.batch + cut.group - 1) // cut.group
  items = groups * cut.bands * cut.chunks
  job = threads.new_job(items, conv, cut)
  threads.share(frame, job, _task(), min(workers, items) - 1)
  _work(job)
  threads.wait(job)
  threads.leave(job)
  return 0
