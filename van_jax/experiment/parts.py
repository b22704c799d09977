"""The parts of a run, each built from its section of the config."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import optax
from absl import logging

from van_jax import data, errors, ops, parallel, storage, tasks
from van_jax.evaluation import evaluator
from van_jax.experiment import config_check, looks, sections
from van_jax.experiment.sections import Config
from van_jax.parallel import processes
from van_jax.training import step as step_lib
from van_jax.training.recipe import ema, freezing, schedules


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
  """What is trained, how, and for how long.

  Attributes:
    model: maps images to what the task scores.
    schedule: learning rate by updates done.
    optimizer: maps gradients to updates.
    epoch_steps: updates in an epoch.
    total_steps: updates in the whole run.
  """

  model: Any
  schedule: optax.Schedule
  optimizer: optax.GradientTransformation
  epoch_steps: int
  total_steps: int


def recipe(config: Config, source: data.Source) -> Recipe:
  """Returns the recipe of a run on this data."""
  return recipe_of(config, source.num_train)


def recipe_of(config: Config, num_train: int) -> Recipe:
  """Returns the recipe of a run on so many training examples."""
  epoch_steps = num_train // config.batch_size
  schedule = sections.build(config, "schedule", steps_per_epoch=epoch_steps)
  return Recipe(
    model=sections.build(config, "model"),
    schedule=schedule,
    optimizer=sections.build(config, "optimizer", schedule=schedule),
    epoch_steps=epoch_steps,
    total_steps=schedules.total_steps(
      epochs=config.schedule.epochs,
      cooldown_epochs=config.schedule.cooldown_epochs,
      steps_per_epoch=epoch_steps,
    ),
  )


def start_devices(
  config: Config,
  *,
  distributed: processes.Group | None = None,
  agree: Callable[[], None] = lambda: None,
) -> None:
  """Touches the devices, for the first time.

  Args:
    config: of the run.
    distributed: what is known of the other processes; None where there are
      none, or the caller has had JAX join them.
    agree: called before anything is compiled; raises UserError when other
      processes are about something else.

  Raises:
    UserError: when the other processes cannot be found, or JAX no device.
  """
  if distributed is None and not jax.distributed.is_initialized():
    processes.check_alone()
  else:
    processes.join(
      distributed or processes.Group(),
      seconds=config.deadlines.start_up_seconds,
      barrier_seconds=config.deadlines.barrier_seconds,
    )
  parallel.check_platforms()
  processes.check_joined()
  agree()
  _keep_compiled(config.compilation_cache)
  logging.info(
    "%d processes, %d devices: %s",
    jax.process_count(),
    jax.device_count(),
    jax.devices()[0].device_kind,
  )
  if config.model.implementation == "auto":
    ops.verify_kernels(all_trust=_all_trust)  # Before anything is traced.


def _keep_compiled(folder: str | None) -> None:
  """Has JAX keep what it compiles in a folder, if one is named."""
  if not folder:
    return
  try:
    cache = os.fspath(storage.absolute(folder))
  except errors.UserError as error:  # No home: a run does without.
    logging.warning("compilation_cache: %s Nothing compiled is kept.", error)
  else:
    jax.config.update("jax_compilation_cache_dir", cache)


def _all_trust(trusted: bool) -> bool:
  """Returns whether all processes trust the kernels."""
  return all(processes.gather("trust", "yes" if trusted else ""))


def create_mesh(
  config: Config, devices: Sequence[Any] | None = None
) -> jax.sharding.Mesh:
  """Returns the mesh of a training run.

  Args:
    config: of the run.
    devices: of the mesh; None for all that there are.

  Raises:
    UserError: when `config.mesh` does not suit the devices, or the network.
  """
  mesh = parallel.create_mesh(devices, fsdp=config.mesh.fsdp)
  if config.mesh.fsdp > 1:
    variables = config_check.abstract_variables(config)
    parallel.check_fsdp(variables["params"], mesh)
  return mesh


def train_step(
  config: Config,
  recipe: Recipe,
  task: tasks.Task,
  mesh: jax.sharding.Mesh,
  *,
  warm_up_average: bool,
) -> step_lib.Step:
  """Returns the jitted step `(state, batch) -> (state, metrics)`.

  Args:
    config: of the run.
    recipe: of the run.
    task: of the run.
    mesh: of the devices.
    warm_up_average: whether the averages begin as copies, so that
      `ema.warmup` applies; a branch's have been averages before.
  """
  return step_lib.make_train_step(
    apply=recipe.model.apply,
    optimizer=recipe.optimizer,
    schedule=recipe.schedule,
    prepare=task.prepare,
    loss=task.loss,
    root_key=jax.random.key(config.seed),
    mesh=mesh,
    accumulation_steps=config.accumulation_steps,
    kernel_dtype=_kernel_dtype(config),
    freeze=functools.partial(
      freezing.stop_frozen, patterns=config.optimizer.frozen_patterns
    ),
    average=ema.averager(
      decay=config.ema.decay, warmup=config.ema.warmup and warm_up_average
    ),
  )


def _kernel_dtype(config: Config) -> str | None:
  """Returns what kernels are cast to for narrower sums, if for any."""
  # A network in float32 has no narrower gradients to sum.
  narrow = {config.model.dtype, config.mesh.gradient_dtype} == {"bfloat16"}
  return "bfloat16" if narrow else None


def train_batches(
  config: Config, source: data.Source, start_step: int
) -> Iterator[Any]:
  """Returns this process's training batches, from `start_step` on."""
  return data.train_batches(
    source,
    augmentation=sections.build(config, "augmentation"),
    batch_size=config.batch_size,
    seed=config.seed,
    start_step=start_step,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
  )


def eval_batches(
  config: Config,
  source: data.Source,
  preprocessing: data.Preprocessing | data.DensePreprocessing,
) -> data.EvalBatches | data.DenseEvalBatches:
  """Returns this process's evaluation batches, for any number of passes."""
  return data.eval_batches(
    source,
    batch_size=config.evaluation.batch_size,
    preprocessing=preprocessing,
    ratios=looks.ratios(config),
    process_index=jax.process_index(),
    process_count=jax.process_count(),
  )


def eval_step(
  config: Config, model: Any, task: tasks.Task, mesh: jax.sharding.Mesh
) -> evaluator.Step:
  """Returns the jitted step `(variables, batch) -> sums`."""
  return evaluator.make_eval_step(
    apply=looks.applied(config, model.apply),
    inputs=task.inputs,
    sums=task.sums,
    mesh=mesh,
  )
