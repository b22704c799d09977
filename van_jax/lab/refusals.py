"""What of a training cannot be, told before anything is computed."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from van_jax import data, errors, models, parallel, tasks
from van_jax.data import arguments
from van_jax.training.recipe import pretrained


def check_seed(seed: int) -> None:
  """Raises UserError unless a key of jax.random holds it."""
  if not arguments.is_whole(seed) or not 0 <= seed < 1 << 32:
    raise errors.UserError(
      f"seed={seed!r} must be a whole number from 0 to {(1 << 32) - 1}."
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
  arguments.check_whole("accumulation_steps", accumulation, 1)
  sizes = {"batch_size": batch_size, "eval_batch_size": eval_batch_size}
  for name, size in sizes.items():
    arguments.check_whole(name, size, 1)
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
    optimizer.init(fresh["params"])
    return logits, fresh

  logits, fresh = jax.eval_shape(trace)
  if logits.shape != (1, task.classes):
    raise errors.UserError(
      f"the model maps one image to {logits.shape} and must map it to "
      f"(1, {task.classes}), a number a class of the data."
    )
  if variables is not None:
    pretrained.check(fresh, variables)
