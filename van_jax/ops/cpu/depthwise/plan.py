"""How a depthwise convolution is cut into pieces that fit the CPU's caches."""

import collections

from van_jax.ops.cpu import call_frame
from van_jax.ops.cpu.compiled import compiled
from van_jax.ops.cpu.depthwise.microkernels import BLOCK, HALF_BLOCK, REACH
from van_jax.ops.cpu.machine import BYTES, LANES

_CACHE = 1 << 20  # Bytes of scratch memory for maps: half of a common L2.
_BAND = 4  # Rows of a piece over those beside it that it reads, at the least.
_ITEMS = 4  # Wanted for each thread, so that none waits long for another.

# Attributes of a call, sorted by name as XLA does.
_DILATION, GELU, _HALF, _LEFT, _TOP = range(5)
WITH_SLOPE = 2  # Its GELU and the GELU's derivative; 1: no derivative; 0: none.

# Sizes of the maps and of the kernel; top, left: how far taps reach before;
# half: bfloat16, or float32.
Problem = collections.namedtuple(
  "Problem",
  "batch height width channels taps_high taps_wide dilation top left half "
  "threads",
)
# columns: taps of a row that meet the map, from `first` on; before, after: the
# positions that they reach past each end; short: by how many the last one
# falls short of its own position, if it does; length: of a row, rounded up;
# pitch: bytes of a row; rows: of a piece's map; band: rows of a piece; groups:
# of channels, of all; chunk: groups of a piece; bands, chunks: how many.
Plan = collections.namedtuple(
  "Plan",
  "first columns before after short length pitch rows band groups chunk bands "
  "chunks",
)


@compiled
def problem_from(frame, kernel):
  """Returns the Problem of a call: x is argument 0, its kernel `kernel`."""
  return Problem(
    batch=call_frame.size(frame, 0, 0),
    height=call_frame.size(frame, 0, 1),
    width=call_frame.size(frame, 0, 2),
    channels=call_frame.size(frame, 0, 3),
    taps_high=call_frame.size(frame, kernel, 0),
    taps_wide=call_frame.size(frame, kernel, 1),
    dilation=call_frame.attribute(frame, _DILATION),
    top=call_frame.attribute(frame, _TOP),
    left=call_frame.attribute(frame, _LEFT),
    half=call_frame.attribute(frame, _HALF),
    threads=call_frame.thread_count(frame),
  )


@compiled
def divide_up(a, b):
  """Returns a / b, rounded up."""
  return (a + b - 1) // b


@compiled
def _length(width):
  """Returns the positions that blocks compute and read of a row."""
  rest = width % BLOCK
  blocks = width - rest
  if rest > HALF_BLOCK:
    blocks += BLOCK
  elif rest:
    blocks += HALF_BLOCK
  return max(blocks, divide_up(width, REACH) * REACH)


@compiled
def make_plan(problem, maps, pieces):
  """Returns the Plan.

  Args:
    problem: a Problem.
    maps: that a piece keeps in scratch memory.
    pieces: that the batch makes by itself.
  """
  p = problem
  first, stop = 0, p.taps_wide
  while first < stop and first * p.dilation - p.left <= -p.width:
    first += 1
  while stop > first and (stop - 1) * p.dilation - p.left >= p.width:
    stop -= 1
  columns = stop - first
  before = max(0, p.left - first * p.dilation)
  last = (stop - 1) * p.dilation - p.left if columns else 0
  after, short = max(0, last), max(0, -last)
  length = _length(p.width)
  pitch = (before + length + after + short) * BYTES
  halo = (p.taps_high - 1) * p.dilation
  room = _CACHE // maps // pitch  # Rows of a group.
  groups = divide_up(p.channels, LANES)
  # Few rows of all channels rather than all rows of a few: memory is fast
  # where it is read in its own order.
  chunk = max(1, min(groups, room // min(p.height, (1 + _BAND) * halo + 1)))
  chunk = divide_up(groups, divide_up(groups, chunk))
  band = p.height
  if band * chunk > room:
    band = min(p.height, max(1, room // chunk - halo, halo // 4))
  bands = divide_up(p.height, band)
  band = divide_up(p.height, bands)
  bands = divide_up(p.height, band)
  rows = min(p.height, band + halo)
  while (
    chunk > 1 and pieces * bands * divide_up(groups, chunk) < _ITEMS * p.threads
  ):
    chunk = divide_up(chunk, 2)
  chunks = divide_up(groups, chunk)
  return Plan(
    first=first,
    columns=columns,
    before=before,
    after=after,
    short=short,
    length=length,
    pitch=pitch,
    rows=rows,
    band=band,
    groups=groups,
    chunk=divide_up(groups, chunks),
    bands=bands,
    chunks=chunks,
  )
