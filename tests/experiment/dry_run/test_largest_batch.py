"""The search for the largest batch, on compilers made of a line."""

import pytest

from van_jax.experiment.dry_run import largest

AVAILABLE = 16_000


class Compiler:
  """Takes what fits, and counts; `bytes_of` are those of so many units."""

  def __init__(self, bytes_of, *, says=True):
    self.bytes_of, self.says, self.asked = bytes_of, says, []

  def __call__(self, units):
    """Returns what so many units need."""
    self.asked.append(units)
    needed = self.bytes_of(units)
    return largest.Need(needed <= AVAILABLE, needed if self.says else None)


@pytest.mark.parametrize("first", [1, 40, 900])
@pytest.mark.parametrize("says", [True, False])
@pytest.mark.parametrize(
  "bytes_of",
  [
    lambda units: 1000 + 60 * units,  # 250 units.
    lambda units: 15_900 + 50 * units,  # 2.
    # A compiler that recomputes near its limit.
    lambda units: 1000 + (60 if 1000 + 60 * units < 12_000 else 30) * units,
  ],
)
def test_the_largest_is_found_in_few_compilations(first, says, bytes_of):
  compiler = Compiler(bytes_of, says=says)
  found = largest.search(compiler, first=first, most=1000, available=AVAILABLE)
  assert found.compiles == len(set(compiler.asked)) == len(compiler.asked) <= 12
  assert bytes_of(found.largest) <= AVAILABLE < bytes_of(found.refused)
  assert found.refused is not None
  assert found.refused - found.largest <= max(found.largest // 16, 1)


def test_all_the_data_may_fit():
  compiler = Compiler(lambda units: units)
  found = largest.search(compiler, first=3, most=50, available=AVAILABLE)
  assert found.largest >= 50 - 50 // 16
  assert found.refused is None


def test_nothing_may_fit():
  compiler = Compiler(lambda units: AVAILABLE + units)
  found = largest.search(compiler, first=8, most=50, available=AVAILABLE)
  assert (found.largest, found.refused) == (0, 1)
