"""Exponential moving average of parameters and BatchNorm statistics."""

from typing import TypeVar

import jax
import jax.numpy as jnp

Tree = TypeVar("Tree")


def start_ema(values: Tree) -> Tree:
  """Returns the first average: a float32 copy of the initial values.

  A copy, since the step donates its state: one buffer under two names could
  not be given back twice.
  """
  return jax.tree.map(lambda x: jnp.array(x, jnp.float32, copy=True), values)


def update_ema(
  ema: Tree,
  new: Tree,
  *,
  decay: float,
  warmup: bool,
  step: jax.Array | int,
) -> Tree:
  """Returns decay * ema + (1 - decay) * new, leaf by leaf, in float32.

  With a constant decay this is timm's ModelEmaV2, which averages parameters
  and running statistics alike from a copy of the initial ones (its default
  decay: 0.9998).

  Args:
    ema: tree of float32 arrays, the average so far.
    new: tree of the same structure, the values after this update.
    decay: in [0, 1).
    warmup: lowers the decay to (1 + step) / (10 + step) while that is less,
      so that a short run forgets its random start.
    step: [], updates done, this one counted: 1 at the first call.
  """
  if not 0 <= decay < 1:
    raise ValueError(
      f"ema.decay={decay} must be in [0, 1); turn the average off as a "
      "whole instead of decay 1."
    )
  rate: float | jax.Array = 1 - decay
  if warmup:
    # 1 - (1 + step) / (10 + step), without the cancellation.
    rate = jnp.maximum(rate, 9 / (10 + jnp.asarray(step, jnp.float32)))
  # This order leaves a value that does not change exactly as it is.
  return jax.tree.map(
    lambda e, x: e + rate * (x.astype(jnp.float32) - e), ema, new
  )
