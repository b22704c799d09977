"""How a map is cut for the GPU kernels, and how much a thread takes.

A unit is a strip of columns, of one residue class modulo the dilation, of one
example: its taps lie on neighbouring columns of that class. A program takes
some units and a block of channels, and walks down the rows of one residue
class. A thread has all of a unit's columns for one or two channels, so that
what it loads it uses for all taps: each row comes once, not once a tap.
"""

import dataclasses
import math

from van_jax.ops.shifted_sum import padding

# Columns a unit, at most: more save few loads.
_WIDEST = 8
# Numbers a thread may hold of the 255 registers it gets: the others are for
# addresses and masks.
_HELD = 196
# What a load costs beside a multiplication: itself, its address, its mask, and
# the conversion to float32.
_LOAD = 4
_WARP = 32
_WARPS = 4  # A program's.
# Warps of the largest cards, 132 processors, times 16 at a time, twice over.
_ENOUGH = 132 * 16 * 2


@dataclasses.dataclass(frozen=True)
class Taps:
  """The taps along an axis; tap p reads p * step - before further on.

  Attributes:
    before: how far the first tap lies before the position written.
    step: the dilation.
    count: of taps.
  """

  before: int
  step: int
  count: int

  @classmethod
  def of(cls, count: int, dilation: int) -> "Taps":
    """Returns those of a convolution that keeps the map's size."""
    return cls(padding(count, dilation)[0], dilation, count)

  def negated(self) -> "Taps":
    """Returns the taps of a flipped kernel, of the gradient for the input."""
    reach = self.step * (self.count - 1)
    return dataclasses.replace(self, before=reach - self.before)

  def live(self, length: int) -> tuple["Taps", int]:
    """Returns the taps that may meet a map, and how many lie before them.

    The first of them reads no later, the last no earlier than it writes: the
    kernels' loops rely on it.

    Args:
      length: of the map along the axis.
    """
    offsets = [n * self.step - self.before for n in range(self.count)]
    first, last = 0, self.count - 1
    while (
      first < last and offsets[first] <= -length and offsets[first + 1] <= 0
    ):
      first += 1
    while last > first and offsets[last] >= length and offsets[last - 1] >= 0:
      last -= 1
    return Taps(-offsets[first], self.step, last + 1 - first), first


@dataclasses.dataclass(frozen=True)
class Plan:
  """A cut.

  Attributes:
    shape: [B, H, W, C] of the map.
    rows: taps along H.
    columns: taps along W.
    width: columns a unit.
    units: a program takes at a time, a power of two.
    channels: a block of them, a power of two.
    bands: of rows that go to programs of their own.
    rounds: how often a program takes units, one after another.
  """

  shape: tuple[int, int, int, int]
  rows: Taps
  columns: Taps
  width: int
  units: int
  channels: int
  bands: int = 1
  rounds: int = 1

  @property
  def groups(self) -> int:
    """Units of a residue class of columns."""
    return _over(_over(self.shape[2], self.columns.step), self.width)

  @property
  def all_units(self) -> int:
    """Units of the whole batch."""
    return self.shape[0] * self.columns.step * self.groups

  @property
  def height(self) -> int:
    """Rows written in the longest residue class."""
    return _over(self.shape[1], self.rows.step)

  @property
  def band(self) -> int:
    """Rows of a class that a program writes."""
    return _over(self.height, self.bands)

  @property
  def grid(self) -> tuple[int, int, int]:
    """Programs: by units, by rows, by channels."""
    return (
      _over(self.all_units, self.units * self.rounds),
      self.rows.step * self.bands,
      _over(self.shape[3], self.channels),
    )

  @property
  def warps(self) -> int:
    """Of a program."""
    return min(_WARPS, max(1, self.units * self.channels // _WARP))

  @property
  def sources(self) -> list[int]:
    """Columns that a unit reads, in steps from its first tap on."""
    return sources(self.shape[2], self.columns, self.width)


def sources(length: int, columns: Taps, width: int) -> list[int]:
  """Returns the columns that a unit reads, in steps from its first tap on.

  Without those that lie outside of the map for every unit.

  Args:
    length: of the map along W.
    columns: taps along W.
    width: columns a unit.
  """
  found = range(width + columns.count - 1)
  longest = _over(length, columns.step)
  if width < longest or columns.before % columns.step:
    return list(found)
  first = columns.before // columns.step
  return [s for s in found if 0 <= s - first < longest]


def make(
  shape: tuple[int, int, int, int],
  rows: Taps,
  columns: Taps,
  itemsize: int,
  *,
  maps: int = 1,
  summed: bool = False,
) -> Plan:
  """Returns the cut of a map.

  Args:
    shape: [B, H, W, C].
    rows: live taps along H.
    columns: live taps along W.
    itemsize: bytes of a number.
    maps: that are read where taps read.
    summed: whether all programs' results are to be added up.
  """
  width, lanes = _tile(shape[2], rows, columns, maps, itemsize)
  channels = _channels(shape[3])
  units = max(1, _WARP * _WARPS * lanes // channels)
  plan = Plan(shape, rows, columns, width, units, channels)
  warps = math.prod(plan.grid) * plan.warps
  if summed:
    return dataclasses.replace(plan, rounds=max(1, warps // _ENOUGH))
  # A band reads its neighbours' rows: it should have twice as many.
  most = max(1, plan.height // (2 * rows.count))
  return dataclasses.replace(plan, bands=min(most, _over(_ENOUGH, warps)))


def fits(size: tuple[int, int]) -> bool:
  """Returns whether a thread can hold what a kernel of that size needs.

  Up to 11 x 11 taps, or 39 of them in a row.
  """
  rows, columns = (Taps.of(count, 1) for count in size)
  return held(1 << 30, rows, columns, width=1, maps=2) <= _HELD


def _channels(count: int) -> int:
  """Returns the block: 64 where that leaves none empty, or 32, or fewer."""
  if count % 64 == 0:
    return 64
  return min(32, 1 << (count - 1).bit_length())


def _tile(length, rows, columns, maps, itemsize) -> tuple[int, int]:
  """Returns the columns a unit that cost least, and the channels a thread.

  A unit multiplies each column by all taps, and loads each column that a tap
  meets. The last unit of a class may stand out of the map. Two channels share
  what a load costs, where they are one register.
  """
  longest = _over(length, columns.step)

  def cost(width):
    read = sources(length, columns, width)
    products = rows.count * sum(
      0 <= source - tap < width
      for source in read
      for tap in range(columns.count)
    )
    return _over(longest, width) * (products + _LOAD * len(read))

  for lanes in (2, 1) if itemsize < 4 else (1,):
    widths = [
      width
      for width in range(min(_WIDEST, longest), 0, -1)
      if lanes * held(length, rows, columns, width, maps) <= _HELD
    ]
    if widths:
      return min(widths, key=cost), lanes
  raise AssertionError((rows, columns))  # It does not fit.


def held(
  length: int, rows: Taps, columns: Taps, width: int, maps: int = 1
) -> int:
  """Returns the numbers that a thread holds for a channel.

  The taps, the sums of a unit, and what is read of this row and the next.
  """
  read = 2 * maps * len(sources(length, columns, width))
  return rows.count * columns.count + rows.count * width + read


def _over(a: int, b: int) -> int:
  return -(-a // b)
