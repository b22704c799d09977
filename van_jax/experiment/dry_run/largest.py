"""The largest batch that a compiler takes, found by compiling.

Near the limit compilers recompute, so that no formula knows it: a guess from
the bytes of the last program narrows what is then halved.
"""

from collections.abc import Callable
from typing import NamedTuple

_CLOSE = 16  # Done when the next batch is within a part in so many.
_MOST_COMPILES = 12


class Need(NamedTuple):
  """What a batch needs.

  Attributes:
    fits: whether the compiler takes it.
    needed: bytes of a device; None where they are not known.
  """

  fits: bool
  needed: int | None


class Found(NamedTuple):
  """The result, in units.

  Attributes:
    largest: that fits; 0 if none does.
    refused: the smallest that was refused; None if none was.
    compiles: that it took.
  """

  largest: int
  refused: int | None
  compiles: int


def search(
  need: Callable[[int], Need],
  *,
  first: int,
  most: int,
  available: int | None,
) -> Found:
  """Returns the largest number of units that fits.

  Args:
    need: compiles so many units, at least 1.
    first: to begin with.
    most: beyond which nothing is tried.
    available: bytes of a device.
  """
  needs: dict[int, Need] = {}
  low, high = 0, most + 1
  units = min(max(first, 1), most)
  for _ in range(_MOST_COMPILES):
    needs[units] = need(units)
    if needs[units].fits:
      low = units
    else:
      high = units
    if high - low <= max(low // _CLOSE, 1):
      break
    units = _next(low, high, needs, available)
  refused = high if high in needs else None
  return Found(low, refused, len(needs))


def _next(
  low: int, high: int, needs: dict[int, Need], available: int | None
) -> int:
  """Returns what to try between two bounds, which are done."""
  middle = (low + high) // 2
  if high not in needs:  # A refusal takes seconds, a program minutes.
    middle = min(max(4 * low, 1), high - 1)
  guess = _guess(needs, available)
  # Neither too near what is known: it would narrow little.
  step = max((high - low) // 8, 1)
  if guess is not None:
    limit = high - step if high in needs else high - 1
    middle = min(max(guess, low + step), limit)
  return min(max(middle, low + 1), high - 1)


def _guess(needs: dict[int, Need], available: int | None) -> int | None:
  """Returns what would just fit by the line through the last two programs."""
  known = [(u, n.needed) for u, n in needs.items() if n.needed is not None]
  if available is None or len(known) < 2 or len(known) > 4:
    return None  # Where a line has not helped by then, halving will.
  (a, bytes_a), (b, bytes_b) = known[-2:]
  slope = (bytes_b - bytes_a) / (b - a)
  if slope <= 0:
    return None
  return int(b + (available - bytes_b) / slope)
