"""Several operations on one image, one after another, in one compiled call."""

import functools
from collections.abc import Callable
from typing import Any

from van_jax.data.augment.operations import Operation
from van_jax.data.images.pixels import compiled, compiled_once

NOTHING = -1  # The number of no operation.


@functools.cache  # Policies share what is compiled.
def runner(operations: tuple[Operation, ...]) -> Callable[..., Any]:
  """Returns the compiled function that runs steps of these operations.

  It takes an image, uint8 [H, W, 3], the number of each step's operation, int64
  [N] (its place in `operations`, or NOTHING), arguments, float64 [N], how each
  step interpolates, bool [N] (bicubic; else bilinear), and the colour of what
  comes from outside, uint8 [3]. It returns a new image of the same size.
  """
  step = _chooser(operations, 0)

  @compiled
  def run(image, numbers, arguments, bicubic, fill):
    image = image.copy()  # A writable one, as each step returns.
    for i in range(len(numbers)):
      if numbers[i] != NOTHING:
        image = step(image, numbers[i], arguments[i], bicubic[i], fill)
    return image

  return run


def _chooser(
  operations: tuple[Operation, ...], first: int
) -> Callable[..., Any]:
  """Returns the compiled step: one of the operations, by its number.

  Numba calls no function out of a table: what it compiles is a tree of choices.

  Args:
    operations: at least one.
    first: number of the first of them.
  """
  if len(operations) == 1:
    apply = compiled_once(operations[0].apply)

    @compiled
    def leaf(image, number, argument, bicubic, fill):
      return apply(image, argument, bicubic, fill)

    return leaf
  half = len(operations) // 2
  middle = first + half
  lower = _chooser(operations[:half], first)
  upper = _chooser(operations[half:], middle)

  @compiled
  def step(image, number, argument, bicubic, fill):
    if number < middle:
      return lower(image, number, argument, bicubic, fill)
    return upper(image, number, argument, bicubic, fill)

  return step
