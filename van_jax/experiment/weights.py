"""Trained weights as a bundle: a bundle's own, or a training run's."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax

from van_jax import (
  bundle as bundle_lib,
  errors,
  imports,
  models,
  storage,
  tasks,
)
from van_jax.data import class_colors
from van_jax.experiment import (
  old_configs,
  recipe_task,
  section_table,
  sections,
)
from van_jax.experiment.sections import Config
from van_jax.models import record
from van_jax.models.attention import table as attention_table
from van_jax.models.heads import table as head_table
from van_jax.training.run import (
  class_names,
  kept,
  restoring,
  workdir as workdir_lib,
)


def load_weights(
  checkpoint: str | os.PathLike[str],
  *,
  step: str = "latest",
  averaged: bool = True,
  fold_batch_norm: bool = False,
  attention: type | None = None,
  head: type | None = None,
  auxiliary: type | None = None,
  task: tasks.Task | None = None,
  **model_overrides: Any,
) -> bundle_lib.Bundle[Any]:
  """Returns the bundle at a path, or a training workdir's weights as one.

  They are read onto the default device.

  Args:
    checkpoint: a bundle's folder, or a training workdir.
    step: of a workdir: "latest", "best", or a number.
    averaged: of a workdir: the exponential averages, if the run keeps them.
    fold_batch_norm: leave its passes out; see `models.fold_batch_norm`.
    attention: the class of the model's attention, where it is not one of
      van_jax's own; what the folder names is not imported.
    head: likewise of a segmenter's head.
    auxiliary: likewise of its auxiliary head.
    task: what the best step of a workdir is the best for; None for one of
      van_jax's own that the workdir names.
    **model_overrides: how the model is run, such as `dtype`.

  Raises:
    UserError: when the folder is neither, or is damaged.
    CheckpointError: when the checkpoint is missing or damaged.
  """
  check_is_weights(checkpoint)
  if bundle_lib.is_bundle(checkpoint):
    if step != "latest":
      raise errors.UserError(
        f"step={step} is of a training workdir, and checkpoint={checkpoint} is "
        "a bundle, which has one set of weights; leave the step out."
      )
    bundle = bundle_lib.load_bundle(
      checkpoint,
      attention=attention,
      head=head,
      auxiliary=auxiliary,
      **model_overrides,
    )
  else:
    config = old_configs.read(checkpoint)
    handed = {"attention": attention, "head": head, "auxiliary": auxiliary}
    model = sections.build(
      config, "model", **{**model_overrides, **_described(config, handed)}
    )
    number = step_number(config, checkpoint, step, task)
    bundle = _run_as_bundle(config, checkpoint, model, number, averaged)
  if not fold_batch_norm:
    return bundle
  model, variables = models.fold_batch_norm(bundle.model, bundle.variables)
  return dataclasses.replace(bundle, model=model, variables=variables)


def check_is_weights(checkpoint: str | os.PathLike[str]) -> None:
  """Raises UserError unless the folder is a bundle or a workdir."""
  is_run = (storage.absolute(checkpoint) / workdir_lib.CONFIG).exists()
  if not is_run and not bundle_lib.is_bundle(checkpoint):
    raise errors.UserError(
      f"checkpoint={checkpoint} must be a bundle (a folder with bundle.json) "
      f"or a training workdir (with {workdir_lib.CONFIG}), and is neither; "
      "name one, or released weights (van_b0)."
    )


def _described(
  config: Config, handed_over: Mapping[str, type | None]
) -> dict[str, Any]:
  """Returns the modules that a workdir's model has, by field; none imported."""
  found = {}
  for choice in (attention_table.CHOICE, head_table.HEAD, head_table.AUXILIARY):
    recorded = config.model.get(choice.field)
    if recorded is not None and recorded.name is not None:
      found[choice.field] = record.from_json(
        choice, recorded.to_dict(), handed_over[choice.field]
      )
  return found


def _run_as_bundle(
  config: Config,
  workdir: str | os.PathLike[str],
  model: models.VAN | models.Segmenter,
  step: int,
  averaged: bool,
) -> bundle_lib.Bundle:
  """Returns the weights of a training workdir's step."""
  here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  like = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here),
    models.variable_shapes(model),
  )
  variables = restoring.restore_weights(
    storage.absolute(workdir) / workdir_lib.CHECKPOINTS,
    step,
    like,
    averaged=averaged,
  )
  return bundle_lib.Bundle(
    model=model,
    variables=variables,
    preprocessing=sections.build(config, "preprocessing"),
    labels=_labels(workdir, model),
    task=config.task.name,
    colors=_colors(config),
    source={"format": "van_jax training run", "step": step},
  )


def _colors(config: Config) -> class_colors.Colors | None:
  """Returns the colours that a config gives the classes of masks, if any."""
  if not section_table.has_masks(config):
    return None
  given = config.data.options.get("class_colors", ())
  return class_colors.checked(given, config.model.num_classes) or None


def _labels(
  workdir: str | os.PathLike[str], model: models.VAN | models.Segmenter
) -> tuple[str, ...] | None:
  """Returns the names that a workdir keeps, if they are the model's."""
  names = class_names.read(workdir)
  fit = names is not None and len(names) == model.num_classes
  return names if fit else None


def step_number(
  config: Config,
  workdir: str | os.PathLike[str],
  step: str,
  task: tasks.Task | None,
) -> int:
  """Returns the number that "latest" or "best" stands for."""
  directory = storage.absolute(workdir) / workdir_lib.CHECKPOINTS
  if step == "best":
    task = task or _own_task(config)
    return kept.best_step(directory, best=task.best, best_mode=task.best_mode)
  if step != "latest":
    if not step.isdecimal():
      raise errors.UserError(
        f"step={step!r} must be latest, best, or a number."
      )
    return int(step)
  steps = kept.steps(directory)
  if not steps:
    raise errors.UserError(
      f"There is no finished checkpoint in {directory} yet."
    )
  return steps[-1]


def _own_task(config: Config) -> tasks.Task:
  """Returns the task that a workdir names, if it is one of van_jax's own."""
  if imports.is_path(name := config.task.name):
    raise errors.UserError(
      f"the task of this run is {name!r}, which is not imported because a file "
      "says so; hand the task over, or name a step by its number."
    )
  return recipe_task.create_task(config)
