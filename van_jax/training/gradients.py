"""The gradients of a batch: of all of it at once, or of parts one by one."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.typing import DTypeLike

from van_jax import errors, parallel

Loss = Callable[[Any, Any], tuple[jax.Array, dict[str, jax.Array]]]
# (state, inputs, targets, key) -> gradients, new batch statistics, metrics.
Gradients = Callable[..., tuple[Any, Any, dict[str, jax.Array]]]


def make_gradients(
  *,
  apply: Callable[..., Any],
  loss: Loss,
  mesh: Mesh,
  accumulation_steps: int,
  kernel_dtype: DTypeLike | None,
  freeze: Callable[[Any], Any],
) -> Gradients:
  """Builds `(state, inputs, targets, key) -> (gradients, stats, metrics)`.

  Arguments as of `step.make_train_step`. Gradients lie as their parameters.
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
    (_, (batch_stats, metrics)), grads = jax.value_and_grad(
      loss_fn, has_aux=True
    )(current.params, current.batch_stats, inputs, targets, key)
    return placed(grads, mesh), batch_stats, metrics

  if accumulation_steps > 1:
    return _accumulated(gradients, accumulation_steps, mesh)
  return gradients


def _accumulated(
  gradients: Gradients, accumulation_steps: int, mesh: Mesh
) -> Gradients:
  """Returns the same, averaged over micro-batches done one by one."""
  spread = parallel.split_by_example(mesh, axis=1)

  def split(x):
    shape = (accumulation_steps, x.shape[0] // accumulation_steps)
    # Every micro-batch over all devices, at the cost of one exchange.
    return jax.lax.with_sharding_constraint(
      x.reshape(shape + x.shape[1:]), spread
    )

  def accumulated(current, inputs, targets, key):
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

  return accumulated


def placed(tree: Any, mesh: Mesh) -> Any:
  """Returns a traced state, or gradients, laid out as states are."""
  return jax.lax.with_sharding_constraint(
    tree, parallel.state_shardings(tree, mesh)
  )


def _kernels_in(dtype: DTypeLike | None, params: Any) -> Any:
  """Returns parameters with the kernels of convolutions in a dtype."""
  if dtype is None:
    return params
  return jax.tree.map(lambda x: x.astype(dtype) if x.ndim == 4 else x, params)
