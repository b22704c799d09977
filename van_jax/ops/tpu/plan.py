"""How the TPU kernels cut a map of [H, W, S, L] into blocks.

H and W are free to move along in memory, S lies in the sublanes of a register
and L in its lanes; (S, L) is (batch, channels) or (channels, batch), whichever
fills registers better. A tap then reads whole registers: nothing rotates.
"""

import dataclasses
from collections.abc import Sequence

LANES = 128
SUBLANES = 8
REGISTER = (SUBLANES, LANES)
_LEAST_LANES = 16  # Of the groups that share a register.
_BUDGET = 13 * 2**20  # Bytes; the compiler grants a kernel 16 MiB of VMEM.
_TOLERATED = 1.05  # Work on rows of zeros, over what is needed.
_REGISTER_BYTES = 4 * SUBLANES * LANES  # Bytes of one in float32.


@dataclasses.dataclass(frozen=True)
class Taps:
  """Where a kernel's taps look, an axis: first, first + step, ...

  Attributes:
    first: offset of the first tap, an axis.
    step: distance between neighbouring taps.
    count: taps, an axis.
  """

  first: tuple[int, int]
  step: int
  count: tuple[int, int]

  def negated(self) -> "Taps":
    """Returns the taps that look the other way, in reverse order."""
    last = tuple(
      first + self.step * (count - 1)
      for first, count in zip(self.first, self.count, strict=True)
    )
    return dataclasses.replace(self, first=(-last[0], -last[1]))


@dataclasses.dataclass(frozen=True)
class Plan:
  """What a step of the grid (S blocks, L blocks, row blocks) holds.

  A block is `rows` rows, all columns, `sublanes` of S, `lanes` of L. A pixel
  of it fills `groups` registers: 8 sublanes of `full` tiles of 128 lanes each,
  and of a tail of fewer lanes, where `packs` groups of sublanes share one.

  Attributes:
    shape: (H, W, S, L).
    taps: of the convolution.
    channels_in_sublanes: S is channels and L batch; or the other way round.
    sublanes: S of a block.
    lanes: L of a block.
    packs: groups of 8 sublanes side by side in a register of the tail.
    rows: H of a block.
    ring: rows of input kept at a time.
    lag: steps between a block of input and the output that it completes.
  """

  shape: tuple[int, int, int, int]
  taps: Taps
  channels_in_sublanes: bool
  sublanes: int
  lanes: int
  packs: int
  rows: int
  ring: int
  lag: int

  @property
  def full(self) -> int:
    """Tiles of 128 lanes."""
    return self.lanes // LANES

  @property
  def tail(self) -> int:
    """Lanes beyond them."""
    return self.lanes % LANES

  @property
  def stack(self) -> int:
    """Registers that 8 lanes of the tail, or `packs` of a tile, fill."""
    return self.sublanes // (SUBLANES * self.packs)

  @property
  def groups(self) -> int:
    """Registers a pixel."""
    return self.stack * (self.full * self.packs + bool(self.tail))

  @property
  def plain(self) -> bool:
    """Whether a pixel of a block is a whole register already."""
    return self.groups == 1 and self.full == 1

  @property
  def tiles(self) -> int:
    """Groups of a block that differ in channels, so in weights."""
    if self.channels_in_sublanes:
      return self.groups
    return self.full + bool(self.tail)

  @property
  def row_blocks(self) -> int:
    """Blocks along H, the last one perhaps cut off."""
    return -(-self.shape[0] // self.rows)

  @property
  def blocks(self) -> tuple[int, int]:
    """Blocks along S and L."""
    return self.shape[2] // self.sublanes, -(-self.shape[3] // self.lanes)

  @property
  def unrolled(self) -> bool:
    """Whether all rows of taps run everywhere, past the border on zeros.

    A loop over those that meet the map spares work, and costs a loop.
    """
    H, first, step = self.shape[0], self.taps.first[0], self.taps.step
    offsets = [first + n * step for n in range(self.taps.count[0])]
    live = sum(max(0, H - abs(offset)) for offset in offsets)
    return H * len(offsets) <= _TOLERATED * live

  @property
  def steps(self) -> int:
    """Steps along H."""
    return self.row_blocks + self.lag


def make_plan(
  shape: Sequence[int],
  taps: Taps,
  *,
  channels_in_sublanes: bool,
  itemsize: int,
  maps: int,
) -> Plan | None:
  """Returns the largest blocks that fit a kernel's share of VMEM.

  Of a wide map not even the rows that meet a row may fit: then there are none.
  Of 7 x 7 taps at a dilation of 3 these are 19, which fit up to 140 columns.

  Args:
    shape: (H, W, S, L), S a multiple of 8.
    taps: of the convolution.
    channels_in_sublanes: S is channels, L is batch.
    itemsize: bytes of a number of the maps.
    maps: how many come and go beside the scratch (x and y: 2).
  """
  H, _, S, _ = shape
  plans = (
    _plan(tuple(shape), taps, channels_in_sublanes, packs, stack, rows)
    for packs in _packs(shape, channels_in_sublanes)
    for rows in range(H, 0, -1)
    for stack in _stacks(S // (SUBLANES * packs), whole=rows == H)
  )
  fitting = (p for p in plans if _bytes(p, itemsize, maps) <= _BUDGET)
  return next(fitting, None)


def _packs(shape, channels_in_sublanes):
  """Returns how many groups of sublanes may share a register, most first."""
  _, _, S, L = shape
  tail = L % LANES
  packs = [1]
  if tail < _LEAST_LANES or (channels_in_sublanes and L > LANES):
    return packs
  while tail * packs[0] * 2 <= LANES and S % (SUBLANES * packs[0] * 2) == 0:
    packs.insert(0, packs[0] * 2)
  return packs


def _stacks(most, whole):
  """Returns how many registers deep a block may be, the deepest first."""
  if not whole:
    return [1]
  return [n for n in range(min(most, 8), 0, -1) if most % n == 0]


def _plan(shape, taps, channels_in_sublanes, packs, stack, rows):
  H, _, _, L = shape
  lag, ring = 0, H
  if rows < H:
    first, last = taps.first[0], taps.first[0] + taps.step * (taps.count[0] - 1)
    lag = -(-max(0, last) // rows)
    ring = min(H, (lag + 1) * rows + max(0, -first))
  return Plan(
    shape=shape,
    taps=taps,
    channels_in_sublanes=channels_in_sublanes,
    sublanes=SUBLANES * packs * stack,
    lanes=L if packs > 1 or L < LANES else LANES,
    packs=packs,
    rows=rows,
    ring=ring,
    lag=lag,
  )


def _bytes(plan, itemsize, maps):
  """Returns the VMEM of the blocks, twice each, and of the scratch."""
  W = plan.shape[1]
  padded = -(-plan.lanes // LANES) * LANES
  blocks = plan.rows * W * plan.sublanes * padded * itemsize
  # The kernel gradient keeps its gradient's rows in scratch, too.
  kept = plan.ring + 1 + (plan.rows if maps == 3 else 0)
  weights = plan.taps.count[0] * plan.taps.count[1] * plan.tiles
  return (
    2 * 2 * blocks + (kept * W * plan.groups + 2 * weights) * _REGISTER_BYTES
  )
