"""The training step: one update from one batch, pure and jitted."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.typing import DTypeLike

from van_jax import errors, parallel
from van_jax.training import randomness
from van_jax.training.state import TrainState

Step = Callable[..., tuple[TrainState, dict[str, jax.Array]]]
Prepare = Callable[..., tuple[Any, Any]]
Loss = Callable[[Any, Any], tuple[jax.Array, dict[str, jax.Array]]]


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
  whole = parallel.replicated(mesh)

  def loss_fn(params, batch_stats, inputs, targets, key):
    params = _kernels_in(kernel_dtype, freeze(params))
    params = jax.lax.with_sharding_constraint(params, whole)
    outputs, new = apply(
      {"params": params, "batch_stats": batch_stats},
      inputs,
      train=True,
      mutable=["batch_stats"],
      rngs={"dropout": key},
    )
    value, metrics = loss(outputs, targets)
    if jnp.shape(value):
      raise errors.UserError(
        f"the task's loss has the shape {jnp.shape(value)} and must be one "
        "number; return its mean."
      )
    metrics = {**metrics, "loss": value}
    return value, (new.get("batch_stats", batch_stats), metrics)

  def gradients(current, inputs, targets, key):
    """Returns gradients, new batch statistics, and metrics of a batch."""
    (_, (batch_stats, metrics)), grads = jax.value_and_grad(
      loss_fn, has_aux=True
    )(current.params, current.batch_stats, inputs, targets, key)
    return _placed(grads, mesh), batch_stats, metrics

  def accumulated(current, inputs, targets, key):
    """Returns the same, averaged over micro-batches done one by one."""
    spread = parallel.split_by_example(mesh, axis=1)

    def split(x):
      shape = (accumulation_steps, x.shape[0] // accumulation_steps)
      # Every micro-batch over all devices, at the cost of one exchange.
      return jax.lax.with_sharding_constraint(
        x.reshape(shape + x.shape[1:]), spread
      )

    def add(total, micro):
      part = gradients(current, *micro)
      return jax.tree.map(jnp.add, total, part), None

    micro = (
      *jax.tree.map(split, (inputs, targets)),
      jax.random.split(key, accumulation_steps),
    )
    shapes = jax.eval_shape(
      gradients, current, *jax.tree.map(lambda x: x[0], micro)
    )
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    total, _ = jax.lax.scan(add, zeros, micro)
    return jax.tree.map(lambda x: x / accumulation_steps, total)

  compute = accumulated if accumulation_steps > 1 else gradients

  def train_step(current, batch):
    dropout_key = randomness.stream(root_key, "dropout", current.step)
    inputs, targets = prepared(prepare, root_key, batch, current.step)
    grads, batch_stats, metrics = compute(current, inputs, targets, dropout_key)
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
    if taken := sorted(own.keys() & metrics.keys()):
      raise errors.UserError(
        f"the task's metric {taken[0]!r} has the name of one that every step "
        "has; call it otherwise."
      )
    return _placed(new, mesh), metrics | own

  return jax.jit(
    train_step,
    donate_argnums=0,
    in_shardings=(None, parallel.split_by_example(mesh)),
    out_shardings=(None, whole),
  )


def _placed(tree: Any, mesh: Mesh) -> Any:
  """Returns a state, or gradients, laid out as states are."""
  return jax.lax.with_sharding_constraint(
    tree, parallel.state_shardings(tree, mesh)
  )


def _kernels_in(dtype: DTypeLike | None, params: Any) -> Any:
  """Returns parameters with the kernels of convolutions in a dtype."""
  if dtype is None:
    return params
  return jax.tree.map(lambda x: x.astype(dtype) if x.ndim == 4 else x, params)
