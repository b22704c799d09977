"""How far arrays of several runs are apart that should be the same."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

_PAIRS = (
  ("torch_flax", 0, 1),
  ("torch_float64", 0, 2),
  ("flax_float64", 1, 2),
)


@dataclasses.dataclass
class Difference:
  """A running comparison of two arrays that come in batches."""

  largest: float = 0.0
  total: float = 0.0
  count: int = 0

  def add(self, a: np.ndarray, b: np.ndarray) -> None:
    """Takes one batch of both in."""
    gap = np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))
    # NaN must not get lost: max() of Python would drop it.
    self.largest = float(np.maximum(self.largest, gap.max()))
    self.total += float(gap.sum())
    self.count += gap.size

  def to_json(self) -> dict[str, float]:
    """Returns the maximum and the mean."""
    return {"max": self.largest, "mean": self.total / self.count}


def compare(
  names: Sequence[str],
  theirs: Iterable[Sequence[np.ndarray]],
  ours: Iterable[Sequence[np.ndarray]],
  exact: Iterable[Sequence[np.ndarray]],
) -> tuple[dict[str, Any], float]:
  """Returns the differences of each output, and how often the class is one.

  Args:
    names: of the outputs; "logits" among them.
    theirs: each batch's outputs of PyTorch, classes last.
    ours: of Flax.
    exact: of PyTorch in float64, of as many batches as are worth it.
  """
  differences = {
    (name, pair): Difference() for name in names for pair, _, _ in _PAIRS
  }
  moments = {name: np.zeros(3) for name in names}  # Count, sum, squares.
  logits, agreed, counted = names.index("logits"), 0, 0
  for one, other, third in itertools.zip_longest(theirs, ours, exact):
    for i, name in enumerate(names):
      three = (one[i], other[i], *(third[i : i + 1] if third else []))
      for pair, first, second in _PAIRS[: 3 if third else 1]:
        differences[name, pair].add(three[first], three[second])
      wide = one[i].astype(np.float64)
      moments[name] += (wide.size, wide.sum(), np.square(wide).sum())
    same = one[logits].argmax(-1) == other[logits].argmax(-1)
    agreed, counted = agreed + int(same.sum()), counted + same.size
  outputs = {
    name: {pair: differences[name, pair].to_json() for pair, _, _ in _PAIRS}
    | {"spread": _spread(moments[name])}
    for name in names
  }
  return outputs, agreed / counted


def rows(outputs: Mapping[str, Any]) -> list[str]:
  """Returns the lines of a table of `compare`'s differences."""
  lines = [
    f"{'':10}{'PyTorch - Flax':>22}{'PyTorch - float64':>22}"
    f"{'Flax - float64':>22}{'spread':>10}"
  ]
  for name, output in outputs.items():
    cells = [
      f"{output[pair]['max']:.2e} ({output[pair]['mean']:.1e})"
      for pair, _, _ in _PAIRS
    ]
    row = "".join(f"{cell:>22}" for cell in cells)
    lines.append(f"{name:10}{row}{output['spread']:10.3g}")
  return lines


def _spread(moments: np.ndarray) -> float:
  """Returns the standard deviation."""
  count, total, squares = moments
  return float(np.sqrt(squares / count - np.square(total / count)))
