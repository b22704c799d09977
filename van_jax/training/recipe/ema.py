"""Exponential moving average of parameters and BatchNorm statistics."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from van_jax import errors

Tree = TypeVar("Tree")


def averager(
  *, decay: float | None = None, warmup: bool = False
) -> Callable[[Any, Any, jax.Array], Any] | None:
  """Returns `(ema, variables, step) -> ema`; None where none is kept.

  Args:
    decay: of the average, a step, in [0, 1); None keeps none.
    warmup: whether the first steps have a lower one, `warmed_up_decay`.
  """
  check_decay(decay)
  if decay is None:
    return None

  def average(old, variables, step):
    own = warmed_up_decay(decay, step) if warmup else decay
    return update_ema(old, variables, own)

  return average


def check_decay(decay: float | None) -> None:
  """Raises UserError for a decay that no average can have."""
  if decay is not None and not 0 <= decay < 1:
    raise errors.UserError(
      f"ema.decay={decay} must be in [0, 1); None keeps no average."
    )


def update_ema(ema: Tree, new: Tree, decay: float | jax.Array) -> Tree:
  """Returns decay * ema + (1 - decay) * new, leaf by leaf, in float32.

  With a constant decay this is timm's ModelEmaV2: parameters and running
  statistics averaged alike, once an update, from a copy of the initial ones.

  Args:
    ema: tree of float32 arrays, the average so far.
    new: tree of the same structure, the values after this update.
    decay: in [0, 1]; timm's default is 0.9998. A number, or [] from
      `warmed_up_decay`.
  """
  rate = 1 - decay
  # This order leaves a value that does not change exactly as it is.
  return jax.tree.map(
    lambda e, x: e + rate * (x.astype(jnp.float32) - e), ema, new
  )


def warmed_up_decay(decay: float, step: jax.Array | int) -> jax.Array:
  """Returns min(decay, (1 + step) / (10 + step)), [] float32.

  For runs too short to forget the random start at a constant decay.

  Args:
    decay: the decay in the long run, in [0, 1).
    step: [], updates done.
  """
  step = jnp.asarray(step, jnp.float32)
  return jnp.minimum(jnp.float32(decay), (1 + step) / (10 + step))
