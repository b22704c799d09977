"""What a pass over a data set does beside summing."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from van_jax.evaluation import evaluator


class BesideSums(NamedTuple):
  """How an evaluation takes answers out of its steps, and what becomes of them.

  Attributes:
    sums: `(outputs, batch) -> sums` and the answers.
    batches: of this process, with what tells their examples apart.
    watch: from such a step to one that gives the sums alone.
    finish: takes the sums over all batches, in all processes, and writes what
      is to be written.
  """

  sums: Callable[..., dict[str, Any]]
  batches: Iterable[Mapping[str, Any]]
  watch: Callable[[evaluator.Step], evaluator.Step]
  finish: Callable[[Mapping[str, np.ndarray]], None]


def nothing(
  sums: Callable[..., dict[str, Any]], batches: Iterable[Mapping[str, Any]]
) -> BesideSums:
  """Returns what takes no answers.

  Args:
    sums: of the task.
    batches: of this process.
  """
  return BesideSums(sums, batches, lambda step: step, lambda totals: None)
