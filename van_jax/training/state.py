"""The training state: all that survives a restart, and nothing else."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from van_jax import errors


@flax.struct.dataclass
class TrainState:
  """What a training step maps to its successor.

  Attributes:
    step: [] int32, updates done.
    params: parameters that gradients reach.
    batch_stats: running BatchNorm means and variances.
    opt_state: the optimizer's moments and counters.
    ema: `{"params": ..., "batch_stats": ...}`, averaged; None when off.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: Any
  ema: Any

  def variables(self, *, averaged: bool) -> dict[str, Any]:
    """Returns what `model.apply` takes: the averaged weights or the raw."""
    if averaged and self.ema is not None:
      return self.ema
    return {"params": self.params, "batch_stats": self.batch_stats}


def create_state(
  variables: dict[str, Any],
  optimizer: optax.GradientTransformation,
  *,
  ema: bool,
) -> TrainState:
  """Returns the state before the first update.

  Args:
    variables: `{"params": ..., "batch_stats": ...}`; the latter may be absent.
    optimizer: gives the first `opt_state`.
    ema: whether averages of the weights are kept; they start as copies.
  """
  params, batch_stats = variables["params"], variables.get("batch_stats", {})
  average = {"params": params, "batch_stats": batch_stats}
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    batch_stats=batch_stats,
    opt_state=optimizer.init(params),
    # Copies, since a donated buffer may stand in the state only once.
    ema=jax.tree.map(jnp.copy, average) if ema else None,
  )


def check_trainable(dtype: DTypeLike) -> None:
  """Raises UserError unless gradients can be computed in a model's dtype."""
  kind = jnp.finfo(dtype)
  if kind.minexp > jnp.finfo(jnp.bfloat16).minexp:
    raise errors.UserError(
      f"model.dtype={jnp.dtype(dtype).name!r} must be float32 or bfloat16 in "
      f"training: the smallest gradients vanish below {kind.tiny:.1e} without "
      "loss scaling, which there is not; bfloat16 is as fast, and has the "
      "range of float32."
    )
