"""Checks of single arguments: what is wrong, and how to put it right."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from van_jax import errors

MIN_IMAGE_SIZE = 32  # The network divides the size by 32.


def check_image_size(size: Any, field: str) -> None:
  """Raises UserError unless `size` is a size that the network accepts."""
  if not is_whole(size) or size < MIN_IMAGE_SIZE:
    raise errors.UserError(
      f"{field}={size!r} must be a whole number of pixels, at least "
      f"{MIN_IMAGE_SIZE}: the network's last map is 32 times smaller."
    )


def check_bool(value: Any, field: str) -> None:
  """Raises UserError unless `value` is True or False."""
  if not isinstance(value, bool):
    raise errors.UserError(f"{field}={value!r} must be True or False.")


def check_choice(value: Any, choices: tuple[str, ...], field: str) -> None:
  """Raises UserError unless `value` is one of `choices`."""
  if value not in choices:
    raise errors.UserError(
      f"{field}={value!r} must be one of {', '.join(choices)}."
    )


def check_color(value: tuple[Any, ...], field: str) -> None:
  """Raises UserError unless `value` is a colour of 8 bits a channel."""
  if len(value) != 3 or not all(is_whole(v) and 0 <= v <= 255 for v in value):
    raise errors.UserError(
      f"{field}={value} must be three whole numbers from 0 to 255, (r, g, b)."
    )


def check_scale(value: tuple[Any, ...], field: str) -> None:
  """Raises UserError unless `value` is a size that images are brought to."""
  if len(value) != 2 or not all(is_whole(v) and v > 0 for v in value):
    raise errors.UserError(
      f"{field}={value} must be (long, short), two whole numbers of pixels."
    )
  if value[0] < value[1]:
    raise errors.UserError(
      f"{field}={value} must have the longer side first: {value[::-1]}."
    )


def check_ratios(value: Sequence[Any], field: str) -> None:
  """Raises UserError unless `value` are factors of a size."""
  numbers = all(isinstance(ratio, int | float) for ratio in value)
  if not value or not numbers or not all(0 < r < math.inf for r in value):
    raise errors.UserError(
      f"{field}={tuple(value)} must be one or more numbers above 0; (1.0,) is "
      "one scale."
    )


def check_std(std: tuple[float, ...], field: str) -> None:
  """Raises UserError where pixels cannot be divided by a deviation."""
  if min(std) <= 0:
    raise errors.UserError(
      f"{field}={std} must be above 0 in every channel; pixels are divided by "
      "it."
    )


def channels(values: Any, field: str) -> tuple[float, ...]:
  """Returns a mean or a deviation of three channels, or raises UserError."""
  try:
    numbers = tuple(float(value) for value in values)
  except (TypeError, ValueError):
    numbers = ()
  if len(numbers) != 3 or not np.isfinite(numbers).all():
    raise errors.UserError(
      f"{field}={values!r} must be three finite numbers, one a channel "
      f"(r, g, b), of [0, 1] pixels."
    )
  if max(numbers) > 1:  # Pixels of 0 to 1 have no such mean or spread.
    scaled = ", ".join(f"{number / 255:.6g}" for number in numbers)
    name = field.rpartition(".")[2]
    raise errors.UserError(
      f"{field}={numbers} must be at most 1 in every channel: it is of [0, 1] "
      f"pixels. If it is of [0, 255] pixels, divide it by 255: "
      f"{name}=({scaled})."
    )
  return numbers


def check_processes(
  batch_size: int, process_index: int, process_count: int
) -> None:
  """Raises UserError unless the processes can share a batch evenly."""
  check_whole("batch_size", batch_size, 1)
  check_whole("process_count", process_count, 1)
  check_whole("process_index", process_index, 0)
  if process_index >= process_count:
    raise errors.UserError(
      f"process_index={process_index} must be below process_count="
      f"{process_count}."
    )
  if batch_size % process_count:
    raise errors.UserError(
      f"batch_size={batch_size} must be divisible by process_count="
      f"{process_count}; it counts examples over all processes."
    )


def check_whole(field: str, value: Any, lowest: int) -> None:
  """Raises UserError unless `value` is a whole number from `lowest` on."""
  if not is_whole(value) or value < lowest:
    raise errors.UserError(
      f"{field}={value!r} must be a whole number, at least {lowest}."
    )


def is_whole(value: Any) -> bool:
  """Says whether `value` is an integer, True and False left out."""
  return isinstance(value, int | np.integer) and not isinstance(value, bool)
