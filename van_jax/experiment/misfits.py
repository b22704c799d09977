"""What of a config does not suit its data or its devices."""

import jax
from absl import logging

from van_jax import data, errors, parallel, storage, tasks
from van_jax.data import arguments
from van_jax.experiment import looks, section_table, sections
from van_jax.experiment.sections import Config
from van_jax.training.recipe import mixing


def check_source(config: Config, source: data.Source, task: tasks.Task) -> None:
  """Raises UserError where the data does not suit the config."""
  check_kind(config, source)
  _check_labelled(source)
  check_classes(config, source, task)
  _check_seen(config, source)
  if config.batch_size > source.num_train:
    raise errors.UserError(
      f"batch_size={config.batch_size} must be at most the "
      f"{source.num_train} examples of data.train_split="
      f"{config.data.train_split!r}."
    )


def check_kind(config: Config, source: data.Source) -> None:
  """Raises UserError where the one is of masks, and the other is not."""
  dense = section_table.has_masks(config)
  if source.has_masks == dense:
    return
  has, remedy = "masks", "start from configs/segmentation.py"
  if dense:
    has, remedy = "no masks", "start from configs/default.py"
  raise errors.UserError(
    f"data.name={config.data.name!r} has {has}, and the config is of images "
    f"{'with' if dense else 'without'} them; {remedy}, or name other data."
  )


def _check_labelled(source: data.Source) -> None:
  """Raises UserError where a split has no labels to learn from, or score by."""
  for split in (source.train, source.evaluation):
    if split is not None and not split.has_labels:
      raise errors.UserError(
        f"{split.title} has no labels, by data.options.unlabelled=True, which "
        "is for eval.py --predictions; leave it out."
      )


def _check_seen(config: Config, source: data.Source) -> None:
  """Raises UserError where an evaluation image is too small for the network.

  It would be found by the first evaluation, after the training before it. None
  can be where sides are rounded up to what the network needs.
  """
  if not section_table.has_masks(config) or source.evaluation is None:
    return
  shown = sections.build(config, "preprocessing")
  if shown.multiple < arguments.MIN_IMAGE_SIZE:
    batches = data.eval_batches(
      source,
      batch_size=config.evaluation.batch_size,
      preprocessing=shown,
      ratios=looks.ratios(config),
    )
    len(batches)  # Has all images' sizes looked at.


def check_classes(
  config: Config, source: data.Source, task: tasks.Task
) -> None:
  """Raises UserError unless the data has the classes that the task is of."""
  if task.classes is not None and task.classes != source.num_classes:
    remedy = ""
    if source.has_masks:
      remedy = (
        " Set it, or correct what lists the masks' classes: data.options."
        "class_names, num_classes, or the directory's classes.txt."
      )
    raise errors.UserError(
      f"model.num_classes={task.classes} must be the "
      f"{source.num_classes} classes of data.name={config.data.name!r} in "
      f"{config.data.directory}.{remedy}"
    )


def check_workdir(config: Config, workdir: str) -> None:
  """Raises UserError for a workdir among the files of the data."""
  if config.data.name not in ("folder", "pairs"):
    return
  folder = storage.absolute(config.data.directory)
  ours = storage.absolute(workdir)
  if config.data.name == "pairs":
    own = config.data.options
    inner = [
      folder / own.get("images", "images"),
      folder / own.get("masks", "labels"),
    ]
  else:
    splits = (config.data.train_split, config.data.eval_split)
    inner = [folder / split.partition("[")[0] for split in splits if split]
  if ours == folder or any(s in (ours, *ours.parents) for s in inner):
    raise errors.UserError(
      f"workdir={workdir} is a folder of the data, data.directory="
      f"{config.data.directory}; name one of the run's own."
    )


def check_batch_sizes(
  config: Config, source: data.Source, *, devices: int | None = None
) -> None:
  """Raises UserError where batches do not suit devices, groups and data.

  Args:
    config: of the run.
    source: its data.
    devices: of the mesh; None for all that there are.
  """
  parallel.check_batch_size(
    "batch_size",
    config.batch_size,
    accumulation=config.accumulation_steps,
    devices=devices,
  )
  parallel.check_batch_size(
    "evaluation.batch_size", config.evaluation.batch_size, devices=devices
  )
  micro = config.batch_size // config.accumulation_steps
  group = config.model.batch_norm_group_size
  if group and micro % group:
    raise errors.UserError(
      f"model.batch_norm_group_size={group} must divide batch_size / "
      f"accumulation_steps = {micro}."
    )
  if not section_table.has_masks(config):
    if config.mixing.group_size is not None:
      mixing.check_group_size(config.mixing.group_size, config.batch_size)
    _say_where_copies_meet(config)
  if source.train:
    source.train.check_training(config.batch_size, jax.process_count())


def _say_where_copies_meet(config: Config) -> None:
  """Logs a line if repeated augmentation has fewer groups than copies."""
  repeats = config.augmentation.repeats
  largest = config.batch_size // repeats  # Copies are so far apart, or more.
  mixes = config.mixing.mixup_alpha or config.mixing.cutmix_alpha
  groups = {
    "mixing.group_size": config.mixing.group_size if mixes else 1,
    "model.batch_norm_group_size": (
      1
      if config.model.batch_norm_frozen
      else config.model.batch_norm_group_size
    ),
  }
  for key, size in groups.items():
    if repeats > 1 and (size or config.batch_size) > largest:
      logging.warning(
        "%s=%s: a group has several of an image's augmentation.repeats=%d "
        "copies; groups of at most %d have one.",
        key,
        size,
        repeats,
        largest,
      )
