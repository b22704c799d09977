"""What of a config does not suit its data or its devices."""

import jax

from van_jax import data, errors, parallel, tasks
from van_jax.experiment.sections import Config


def check_source(config: Config, source: data.Source, task: tasks.Task) -> None:
  """Raises UserError where the data does not suit the config."""
  check_classes(config, source, task)
  if config.batch_size > source.num_train:
    raise errors.UserError(
      f"batch_size={config.batch_size} must be at most the "
      f"{source.num_train} examples of data.train_split="
      f"{config.data.train_split!r}."
    )


def check_classes(
  config: Config, source: data.Source, task: tasks.Task
) -> None:
  """Raises UserError unless the data has the classes that the task is of."""
  if task.classes is not None and task.classes != source.num_classes:
    raise errors.UserError(
      f"model.num_classes={task.classes} must be the "
      f"{source.num_classes} classes of data.name={config.data.name!r} in "
      f"{config.data.directory}."
    )


def check_batch_sizes(config: Config, source: data.Source) -> None:
  """Raises UserError where batches do not suit devices, groups and data."""
  parallel.check_batch_size(
    "batch_size", config.batch_size, accumulation=config.accumulation_steps
  )
  parallel.check_batch_size(
    "evaluation.batch_size", config.evaluation.batch_size
  )
  micro = config.batch_size // config.accumulation_steps
  group = config.model.batch_norm_group_size
  if group and micro % group:
    raise errors.UserError(
      f"model.batch_norm_group_size={group} must divide batch_size / "
      f"accumulation_steps = {micro}."
    )
  if source.train:
    source.train.check_training(config.batch_size, jax.process_count())
