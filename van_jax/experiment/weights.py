"""Trained weights as a bundle: a bundle's own, or a training run's."""

import dataclasses
import os
from typing import Any

import jax
from etils import epath

from van_jax import (
  bundle as bundle_lib,
  imports,
  models,
  parallel,
  storage,
)
from van_jax.experiment import old_configs, sections, task as task_lib
from van_jax.experiment.sections import Config
from van_jax.training.run import (
  checkpoint as checkpoint_lib,
  restoring,
  workdir as workdir_lib,
)


def load_weights(
  checkpoint: str | os.PathLike[str],
  *,
  step: str = "latest",
  averaged: bool = True,
  fold_batch_norm: bool = False,
  attention: str | None = None,
  **model_overrides: Any,
) -> bundle_lib.Bundle:
  """Returns the bundle at a path, or a training workdir's weights as one.

  Args:
    checkpoint: a bundle's folder, or a training workdir.
    step: of a workdir: "latest", "best", or a number.
    averaged: of a workdir: the exponential averages, if the run keeps them.
    fold_batch_norm: leave its passes out; see `models.fold_batch_norm`.
    attention: the import path of the model's attention, where it is not one
      of van_jax's own: nothing is imported because a file says so.
    **model_overrides: how the model is run, such as `dtype`.

  Raises:
    ValueError: when the folder is neither, or is damaged, or the attention is
      a stranger's and another one, or none, is given.
    CheckpointError: when the checkpoint is missing or damaged.
  """
  check_is_weights(checkpoint)
  if bundle_lib.is_bundle(checkpoint):
    bundle = bundle_lib.load_bundle(
      checkpoint, attention=attention, **model_overrides
    )
  else:
    bundle = _load_run(checkpoint, step, averaged, attention, model_overrides)
  if not fold_batch_norm:
    return bundle
  model, variables = models.fold_batch_norm(bundle.model, bundle.variables)
  return dataclasses.replace(bundle, model=model, variables=variables)


def check_is_weights(checkpoint: str | os.PathLike[str]) -> None:
  """Raises ValueError unless the folder is a bundle or a workdir."""
  is_run = (storage.absolute(checkpoint) / workdir_lib.CONFIG).exists()
  if not is_run and not bundle_lib.is_bundle(checkpoint):
    raise ValueError(
      f"checkpoint={checkpoint} must be a bundle (a folder with bundle.json) "
      f"or a training workdir (with {workdir_lib.CONFIG}), and is neither."
    )


def _load_run(
  workdir: str | os.PathLike[str],
  step: str,
  averaged: bool,
  attention: str | None,
  overrides: dict[str, Any],
) -> bundle_lib.Bundle:
  """Returns what `load_weights` says, of a training workdir."""
  config = old_configs.read(workdir)
  _check_attention(workdir, config.model.attention.name, attention)
  model = sections.build(config, "model", **overrides)
  whole = parallel.replicated(parallel.create_mesh())
  like = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole),
    models.variable_shapes(model),
  )
  directory = storage.absolute(workdir) / workdir_lib.CHECKPOINTS
  number = _step_number(config, directory, step)
  variables = restoring.restore_weights(
    directory, number, like, averaged=averaged
  )
  return bundle_lib.Bundle(
    model=model,
    variables=variables,
    preprocessing=sections.build(config, "preprocessing"),
    labels=None,
    source={"format": "van_jax training run", "step": number},
  )


def _check_attention(
  workdir: str | os.PathLike[str], named: str, trusted: str | None
) -> None:
  """Raises ValueError unless a run's attention is ours, or the given one."""
  if imports.is_path(named) and named != trusted:
    raise ValueError(
      f"the attention of the run in {workdir} is {named!r}, which is not "
      "imported because a file says so; name it, by "
      f"--config.model.attention.name={named}."
    )


def _step_number(config: Config, directory: epath.Path, step: str) -> int:
  """Returns the number that "latest" or "best" stands for."""
  if step == "best":
    task = task_lib.create_task(config)
    return checkpoint_lib.best_step(
      directory, best=task.best, best_mode=task.best_mode
    )
  if step != "latest":
    if not step.isdecimal():
      raise ValueError(f"step={step!r} must be latest, best, or a number.")
    return int(step)
  steps = checkpoint_lib.steps(directory)
  if not steps:
    raise ValueError(f"There is no finished checkpoint in {directory} yet.")
  return steps[-1]
