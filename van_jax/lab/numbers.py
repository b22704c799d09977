"""The numbers that one says of a training: what each may be, and its default.

Errors name them as `fit` does, not by the keys of a config that they become.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from van_jax import errors
from van_jax.data import arguments


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numbers:
  """Python's own numbers; see `fitting.fit` for what each is of."""

  epochs: float
  batch_size: int = 128
  learning_rate: float = 1e-3
  seed: int = 0
  image_size: int | None = None
  head_scale: float = 1.0
  accumulation_steps: int = 1
  eval_every_epochs: float = 1.0
  eval_batch_size: int | None = None
  log_every_steps: int | None = None


class Rule(NamedTuple):
  """What a number may be.

  Attributes:
    whole: whether it has no fraction.
    holds: of a number.
    text: the rule, and what else to write, after "must be".
  """

  whole: bool
  holds: Callable[[Any], bool]
  text: str


_COUNT = Rule(True, lambda n: n >= 1, "a whole number, at least 1")
_SEEDS = 1 << 32  # A key of jax.random is made of 32 bits.
RULES = {
  "epochs": Rule(
    False,
    lambda n: 0 < n < math.inf,
    "a number above 0; say how long to train, 10 say",
  ),
  "batch_size": _COUNT,
  "learning_rate": Rule(
    False,
    lambda n: 0 < n < math.inf,
    "positive and finite; 1e-3 is the default",
  ),
  "seed": Rule(
    True,
    lambda n: 0 <= n < _SEEDS,
    f"a whole number from 0 to {_SEEDS - 1}",
  ),
  "image_size": Rule(
    True,
    lambda n: n >= arguments.MIN_IMAGE_SIZE,
    f"a whole number of pixels, at least {arguments.MIN_IMAGE_SIZE}, or None "
    "for the size of the images",
  ),
  "head_scale": Rule(
    False, lambda n: 0 <= n < math.inf, "a number from 0 on; 1 is the default"
  ),
  "accumulation_steps": _COUNT,
  "eval_every_epochs": Rule(
    False,
    lambda n: n > 0,
    "above 0; math.inf evaluates at the end alone",
  ),
  "eval_batch_size": _COUNT,
  "log_every_steps": _COUNT,
}


def checked(given: Mapping[str, Any]) -> Numbers:
  """Returns the numbers, NumPy's and JAX's scalars as Python's.

  Args:
    given: by the names of `RULES`; what is left out has its default.

  Raises:
    UserError: for the first that cannot be.
  """
  defaults = {f.name: f.default for f in dataclasses.fields(Numbers)}
  found: dict[str, Any] = {
    name: value
    if value is None and defaults[name] is None
    else number(name, value)
    for name, value in given.items()
  }
  return Numbers(**found)


def number(name: str, value: Any) -> Any:
  """Returns one of them, as `checked` does.

  Raises:
    UserError: if it cannot be.
  """
  rule, plain = RULES[name], value
  dtype = getattr(value, "dtype", None)  # A key of jax.random has its own.
  if isinstance(dtype, np.dtype) and dtype.kind in "iuf" and not value.shape:
    plain = value.item()
  kinds = (int,) if rule.whole else (int, float)
  if type(plain) not in kinds or not rule.holds(plain):
    shown = " ".join(repr(value).split())  # An array's has several lines.
    raise errors.UserError(f"{name}={shown} must be {rule.text}.")
  return plain
