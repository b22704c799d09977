"""What of a training cannot be, told before anything is computed."""

import inspect
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from van_jax import data, errors, models, parallel, tasks
from van_jax.training.recipe import pretrained


def check_model(model: Any) -> None:
  """Raises UserError unless it is a module that is called as a VAN is."""
  if not isinstance(model, nn.Module):
    is_class = isinstance(model, type) and issubclass(model, nn.Module)
    hint = f", {model.__name__}(...)" if is_class else ""
    raise errors.UserError(
      f"model={' '.join(repr(model).split())} must be a VAN, the name of one, "
      f"or an instance of a flax.linen module{hint}."
    )
  # A class without one has its metaclass's, which makes instances.
  own = [vars(c) for c in type(model).__mro__ if "__call__" in vars(c)]
  call = own[0]["__call__"] if own else lambda: None
  parameters = inspect.signature(call).parameters
  kinds = [parameter.kind for parameter in parameters.values()]
  if "train" not in parameters and inspect.Parameter.VAR_KEYWORD not in kinds:
    raise errors.UserError(
      f"model: {type(model).__name__}.__call__ must take (images, *, train), "
      "as a VAN's does, and takes no train; add it, or wrap the module in one "
      "that has it."
    )


def check_batches(
  source: data.Source, batch_size: int, accumulation: int, eval_batch_size: int
) -> None:
  """Raises UserError where batches do not suit devices and data."""
  parallel.check_platforms()
  if jax.process_count() > 1:
    raise errors.UserError(
      f"fit trains in one process, and there are {jax.process_count()}; start "
      "train.py on them."
    )
  parallel.check_batch_size("batch_size", batch_size, accumulation=accumulation)
  parallel.check_batch_size("eval_batch_size", eval_batch_size)
  assert source.train is not None
  if batch_size > source.num_train:
    raise errors.UserError(
      f"batch_size={batch_size} must be at most the {source.num_train} "
      "training images; lower it."
    )
  source.train.check_training(batch_size, 1)


def check_traced(
  model: Any,
  task: tasks.Task,
  optimizer: optax.GradientTransformation,
  variables: Mapping[str, Any] | None,
  size: int,
  batch_size: int,
) -> None:
  """Raises the UserErrors of all that is traced; nothing is computed."""
  if isinstance(model, models.VAN):
    model = model.clone(implementation="xla")  # Traced soonest.

  def trace():
    images = jnp.zeros((batch_size, size, size, 3), jnp.uint8)
    labels = jnp.zeros(batch_size, jnp.int32)
    task.prepare(jax.random.key(0), {"image": images, "label": labels})
    one = jnp.zeros((1, size, size, 3))
    logits, fresh = model.init_with_output(jax.random.key(0), one, train=False)
    _check_collections(fresh)
    optimizer.init(fresh["params"])
    return logits, fresh

  logits, fresh = jax.eval_shape(trace)
  is_array = hasattr(logits, "shape")
  shape = logits.shape if is_array else f"a {type(logits).__name__}"
  if shape != (1, task.classes):
    raise errors.UserError(
      f"the model maps one image to {shape} and must map it to "
      f"(1, {task.classes}), a number a class of the data."
    )
  if not jnp.issubdtype(logits.dtype, jnp.floating):
    raise errors.UserError(
      f"the model's outputs are {logits.dtype} and must be of a floating type, "
      "which gradients go through."
    )
  if variables is not None:
    _check_variables(variables)
    pretrained.check(fresh, variables)


def _check_collections(fresh: Mapping[str, Any]) -> None:
  """Raises UserError unless a model has what training keeps, and no more."""
  others = sorted(fresh.keys() - {"params", "batch_stats"})
  if others or "params" not in fresh:
    has = f"has {', '.join(others)}" if others else "has no params"
    raise errors.UserError(
      f"model: its init {has}, and what is trained and kept is params, beside "
      "batch_stats; change the module."
    )


def _check_variables(variables: Any) -> None:
  """Raises UserError unless these are arrays that training can go on from."""
  if not isinstance(variables, Mapping) or not isinstance(
    variables.get("params"), Mapping
  ):
    raise errors.UserError(
      f"variables is of type {type(variables).__name__} and must be what "
      "model.init returns, {'params': ..., 'batch_stats': ...}: "
      "bundle.variables or fit.variables, say."
    )
  for path, leaf in jax.tree.leaves_with_path(variables):
    found = getattr(leaf, "dtype", type(leaf).__name__)
    if found not in ("float32", "float64"):  # JAX makes float32 of NumPy's.
      raise errors.UserError(
        f"variables{jax.tree_util.keystr(path)} is {found} and must be "
        "float32, in which weights are trained; "
        "jax.tree.map(np.float32, variables) makes them so."
      )
