"""What can be said of a config before, and with, its data and devices."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from van_jax import data, models, parallel, tasks
from van_jax.cli import schema
from van_jax.experiment import task as task_lib
from van_jax.training.recipe import (
  erasing,
  losses,
  mixing,
  optimizers,
  schedules,
)
from van_jax.training.run import checkpoint, profiling

Config = Any  # A ConfigDict: type checkers do not know its attributes.

# By section, what takes it as keywords, and its arguments from elsewhere.
_SECTIONS = {
  "model": (models.create_model, ()),
  "data": (data.open_source, ()),
  "augmentation": (data.Augmentation, ()),
  "preprocessing": (data.Preprocessing, ()),
  "mixing": (mixing.mix, ("key", "images", "labels", "num_classes")),
  "erasing": (erasing.erase, ("key", "images")),
  "loss": (losses.create_loss, ()),
  "schedule": (schedules.create_schedule, ("steps_per_epoch",)),
  "optimizer": (optimizers.create_optimizer, ("schedule",)),
}
_PLAIN_KEYS = {
  "": (
    "seed",
    "batch_size",
    "accumulation_steps",
    "pretrained_bundle",
    "compilation_cache",
  ),
  "task": ("name", "options"),
  "ema": ("decay", "warmup"),
  "checkpoint": ("every_epochs", "keep_last", "keep_best"),
  "evaluation": ("every_epochs", "batch_size", "averaged_weights"),
  "logging": ("every_steps", "profile_first_step", "profile_steps"),
}


def check_config(config: Config) -> None:
  """Raises ValueError for what can be known without data and devices."""
  plain = config.to_dict()
  schema.check_keys(plain, sections=_SECTIONS, plain=_PLAIN_KEYS)
  with _naming("model"):
    models.create_model(**config.model)
  with _naming("preprocessing"):
    data.Preprocessing(**config.preprocessing)
  with _naming("augmentation"):
    data.Augmentation(**config.augmentation)
  with _naming("mixing"):
    jax.eval_shape(lambda: _mixed(config))  # Traced for its errors alone.
  with _naming("erasing"):
    jax.eval_shape(lambda: _erased(config))
  with _naming("task"):
    task = task_lib.create_task(config)
  with _naming("loss"):
    _check_loss(config, task)
  if config.ema.decay is not None and not 0 <= config.ema.decay < 1:
    raise ValueError(
      f"config.ema.decay={config.ema.decay} must be in [0, 1); None keeps no "
      "average."
    )
  with _naming("schedule"):
    schedule = schedules.create_schedule(**config.schedule, steps_per_epoch=1)
  with _naming("optimizer"):
    optimizer = optimizers.create_optimizer(
      **config.optimizer, schedule=schedule
    )
  if config.optimizer.frozen_patterns:  # Tracing the network takes seconds.
    jax.eval_shape(optimizer.init, abstract_variables(config)["params"])
  checkpoint.check_kept(
    config.checkpoint.keep_last, config.checkpoint.keep_best
  )
  profiling.check_window(
    config.logging.profile_first_step, config.logging.profile_steps
  )
  if not 0 <= config.seed < 1 << 32:  # What a key of jax.random holds.
    raise ValueError(
      f"config.seed={config.seed} must be from 0 to {(1 << 32) - 1}."
    )
  positive = {
    "batch_size": config.batch_size,
    "accumulation_steps": config.accumulation_steps,
    "evaluation.batch_size": config.evaluation.batch_size,
    "evaluation.every_epochs": config.evaluation.every_epochs,
    "checkpoint.every_epochs": config.checkpoint.every_epochs,
    "logging.every_steps": config.logging.every_steps,
  }
  for name, value in positive.items():
    if value <= 0:
      raise ValueError(f"config.{name}={value} must be above 0.")


@contextlib.contextmanager
def _naming(section: str) -> Iterator[None]:
  """Turns a TypeError within into a ValueError that names the section.

  A ConfigDict keeps a key's type, and not those of a tuple's elements.
  """
  try:
    yield
  except TypeError as error:
    raise ValueError(
      f"config.{section} has a value of a wrong type: {error}; "
      "configs/default.py shows the right ones."
    ) from error


def _mixed(config: Config) -> tuple[jax.Array, jax.Array]:
  return mixing.mix(
    jax.random.key(0),
    jnp.zeros((2, 32, 32, 3)),
    jnp.zeros(2, jnp.int32),
    num_classes=config.model.num_classes,
    **config.mixing,
  )


def _erased(config: Config) -> jax.Array:
  images = jnp.zeros((2, 32, 32, 3))
  return erasing.erase(jax.random.key(0), images, **config.erasing)


def _check_loss(config: Config, task: tasks.Task) -> None:
  """Raises ValueError for options of the loss that cannot be meant."""
  if task.classes is None:  # Nothing is known of its targets.
    return
  # A shape: an array would touch the devices, before processes have met.
  rows = jax.ShapeDtypeStruct((2, task.classes), jnp.float32)
  jax.eval_shape(task.loss, rows, rows)  # Traced for its errors alone.
  threshold = dict(config.loss.options).get("target_threshold")
  smoothing = config.mixing.label_smoothing
  if threshold is not None and smoothing / task.classes > threshold:
    raise ValueError(
      f"loss.options.target_threshold={threshold} must be at least what "
      f"mixing.label_smoothing={smoothing} gives each of {task.classes} "
      "classes, or every class becomes a target; set label_smoothing to 0, as "
      "DeiT III does."
    )


def abstract_variables(config: Config) -> Any:
  """Returns the shapes of the model's variables; nothing is computed."""
  plain = {**config.model, "conv_implementation": "xla"}  # Traced soonest.
  model = models.create_model(**plain)
  return jax.eval_shape(
    lambda: model.init(
      jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False
    )
  )


def check_source(config: Config, source: data.Source, task: tasks.Task) -> None:
  """Raises ValueError where the data does not suit the config."""
  check_classes(config, source, task)
  if config.batch_size > source.num_train:
    raise ValueError(
      f"batch_size={config.batch_size} must be at most the "
      f"{source.num_train} examples of data.train_split="
      f"{config.data.train_split!r}."
    )


def check_classes(
  config: Config, source: data.Source, task: tasks.Task
) -> None:
  """Raises ValueError unless the data has the classes that the task is of."""
  if task.classes is not None and task.classes != source.num_classes:
    raise ValueError(
      f"model.num_classes={task.classes} must be the "
      f"{source.num_classes} classes of data.name={config.data.name!r} in "
      f"{config.data.directory}."
    )


def check_batch_sizes(config: Config, source: data.Source) -> None:
  """Raises ValueError where batches do not suit devices, groups and data."""
  parallel.check_batch_size(
    "batch_size", config.batch_size, accumulation=config.accumulation_steps
  )
  parallel.check_batch_size(
    "evaluation.batch_size", config.evaluation.batch_size
  )
  micro = config.batch_size // config.accumulation_steps
  group = config.model.batch_norm_group_size
  if group and micro % group:
    raise ValueError(
      f"model.batch_norm_group_size={group} must divide batch_size / "
      f"accumulation_steps = {micro}."
    )
  if source.train:
    source.train.check_training(config.batch_size, jax.process_count())
