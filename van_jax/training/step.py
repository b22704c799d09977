"""The training step: one update from one batch, pure and jitted."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.typing import DTypeLike

from van_jax import errors, parallel
from van_jax.training import gradients as gradients_lib, randomness
from van_jax.training.gradients import Loss
from van_jax.training.state import TrainState

Step = Callable[..., tuple[TrainState, dict[str, jax.Array]]]
Prepare = Callable[..., tuple[Any, Any]]


def prepared(
  prepare: Prepare,
  root_key: jax.Array,
  batch: Mapping[str, jax.Array],
  step: jax.Array | int,
) -> tuple[Any, Any]:
  """Returns the inputs and targets that a step trains on.

  Args:
    prepare: see `make_train_step`.
    root_key: see `make_train_step`.
    batch: arrays [B, ...] by name.
    step: [], updates done before this one.
  """
  key = randomness.stream(root_key, "mixing", step)
  return prepare(key, batch)


def make_train_step(
  *,
  apply: Callable[..., Any],
  optimizer: optax.GradientTransformation,
  schedule: optax.Schedule,
  prepare: Prepare,
  loss: Loss,
  root_key: jax.Array,
  mesh: Mesh,
  accumulation_steps: int = 1,
  kernel_dtype: DTypeLike | None = None,
  freeze: Callable[[Any], Any] = lambda params: params,
  average: Callable[..., Any] | None = None,
) -> Step:
  """Builds `(state, batch) -> (state, metrics)`, jitted over the mesh.

  Gradients, and BatchNorm's new running statistics, are averages over
  `accumulation_steps` micro-batches of consecutive examples, each started
  from the same state. That is the step over the whole batch with
  `batch_norm_group_size` set to the size of a micro-batch, but for the draws
  of drop path and dropout, which each micro-batch makes anew. Mixing happens
  before the split, so that partners come from the whole batch.

  A state that is split (`parallel.state_shardings`) stays so: parameters are
  gathered for the network, and gradients go back to where theirs lie, before
  the optimizer. Left to itself the compiler moves activations instead.

  Args:
    apply: the model's `apply`.
    optimizer: maps gradients to updates.
    schedule: learning rate by number of updates done; for the metrics.
    prepare: `(key, batch) -> (inputs, targets)`, trees of arrays [B, ...];
      the model takes the inputs.
    loss: `(outputs, targets) -> (loss [], metrics)`, means over the batch.
    root_key: all randomness of a step is a function of it and `state.step`.
    mesh: devices that share the batch; the state lies on it as
      `parallel.state_shardings` says.
    accumulation_steps: micro-batches a batch is cut into.
    kernel_dtype: what kernels of convolutions are cast to before the network,
      and so what their gradients are summed in over the devices; None leaves
      both to the network: ours sums in float32.
    freeze: closes the parameters that are not trained to gradients.
    average: `(ema, variables, step) -> ema`, after each update; None
      when off.

  Returns:
    The step. It donates (consumes) the state that it is given. Its metrics
    are scalars: loss, grad_norm, learning_rate, and those of `loss`.
  """
  gradients = gradients_lib.make_gradients(
    apply=apply,
    loss=loss,
    mesh=mesh,
    accumulation_steps=accumulation_steps,
    kernel_dtype=kernel_dtype,
    freeze=freeze,
  )

  def train_step(current, batch):
    dropout_key = randomness.stream(root_key, "dropout", current.step)
    inputs, targets = prepared(prepare, root_key, batch, current.step)
    grads, batch_stats, metrics = gradients(
      current, inputs, targets, dropout_key
    )
    updates, opt_state = optimizer.update(
      grads, current.opt_state, current.params
    )
    new = current.replace(
      step=current.step + 1,
      params=optax.apply_updates(current.params, updates),
      batch_stats=batch_stats,
      opt_state=opt_state,
    )
    if average is not None:
      variables = new.variables(averaged=False)
      new = new.replace(ema=average(new.ema, variables, new.step))
    own = {
      "grad_norm": optax.tree.norm(grads),
      "learning_rate": jnp.asarray(schedule(current.step)),
    }
    return gradients_lib.placed(new, mesh), _joined(metrics, own)

  return jax.jit(
    train_step,
    donate_argnums=0,
    in_shardings=(None, parallel.split_by_example(mesh)),
    out_shardings=(None, parallel.replicated(mesh)),
  )


def _joined(
  metrics: dict[str, jax.Array], own: dict[str, jax.Array]
) -> dict[str, jax.Array]:
  """Returns a task's metrics with those that every step has."""
  if taken := sorted(own.keys() & metrics.keys()):
    raise errors.UserError(
      f"the task's metric {taken[0]!r} has the name of one that every step "
      "has; call it otherwise."
    )
  return metrics | own
