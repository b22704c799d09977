"""Scoring weights, from a bundle or from a training workdir."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections
from absl import logging
from etils import epath

from van_jax import bundle as bundle_lib, data, models
from van_jax.evaluation import evaluator
from van_jax.experiment import checks, parts
from van_jax.experiment.checks import Config
from van_jax.training import (
  checkpoint as checkpoint_lib,
  optimizer as optimizer_lib,
  schedule as schedule_lib,
  sharding,
  workdir as workdir_lib,
)

Scores = dict[str, Any]


def evaluate(
  config: Config,
  *,
  checkpoint: str,
  step: str = "latest",
  overridden: Mapping[str, Any] | None = None,
  output: str | None = None,
  distributed: bool = False,
) -> Scores:
  """Scores a bundle, or a checkpoint of a workdir, on the evaluation split.

  Images are prepared as the weights were trained for, whatever
  `config.preprocessing` says, but for what `overridden` names.

  Args:
    config: the data, the batch size, and how the model is run.
    checkpoint: a bundle's folder, or a training workdir.
    step: of a workdir: "latest", "best", or a number.
    overridden: dotted config keys that the user set by hand.
    output: a JSON file for all scores, the accuracy of each class too.
    distributed: whether this is one of several processes that all call this.

  Returns:
    top1, top5, loss, count and mean_per_class_accuracy.

  Raises:
    ValueError: bad input.
    CheckpointError: a checkpoint that is missing or damaged.
  """
  checks.check_config(config)
  source = data.open_source(**{**config.data, "train_split": None})
  checks.check_classes(config, source)
  _check_is_weights(checkpoint)
  parts.start_devices(config, distributed=distributed)
  sharding.check_batch_size(
    "evaluation.batch_size", config.evaluation.batch_size
  )
  bundle = _load(config, checkpoint, step)
  _check_same_model(config, checkpoint, bundle.model)
  preprocessing = _preprocessing(bundle.preprocessing, overridden or {})
  mesh = sharding.create_mesh()
  batches = parts.eval_batches(config, source, preprocessing)
  scores = evaluator.evaluate(
    parts.eval_step(bundle.model, preprocessing, mesh),
    jax.device_put(bundle.variables, sharding.replicated(mesh)),
    sharding.prefetch(batches, mesh),
  )
  if output and jax.process_index() == 0:
    scores = {**scores, "class_names": source.class_names}
    epath.Path(output).write_text(json.dumps(scores, indent=2) + "\n")
  return parts.summary(scores)


def load_run(
  workdir: str | os.PathLike[str],
  *,
  step: str = "latest",
  averaged: bool = True,
  **model_overrides: Any,
) -> bundle_lib.Bundle:
  """Returns a training run's weights as a bundle.

  Args:
    workdir: of `train`.
    step: "latest", "best", or a number.
    averaged: the exponential averages, if the run keeps them.
    **model_overrides: how the model is run, such as `dtype`.

  Raises:
    ValueError: when the folder holds no run.
    CheckpointError: when the checkpoint is missing or damaged.
  """
  config: Config = ml_collections.ConfigDict(workdir_lib.read_config(workdir))
  model = models.create_model(**{**config.model, **model_overrides})
  schedule = schedule_lib.create_schedule(**config.schedule, steps_per_epoch=1)
  optimizer = optimizer_lib.create_optimizer(
    **config.optimizer, schedule=schedule
  )
  create = parts.state_creator(config, model, optimizer)
  like = parts.abstract_state(create, None, sharding.create_mesh())
  directory = pathlib.Path(workdir) / workdir_lib.CHECKPOINTS
  number = _step_number(directory, step)
  state = checkpoint_lib.restore(directory, number, like)
  return bundle_lib.Bundle(
    model=model,
    variables=state.variables(averaged=averaged),
    preprocessing=data.Preprocessing(**config.preprocessing),
    labels=None,
    source={"format": "van_jax training run", "step": number},
  )


def _check_is_weights(checkpoint: str) -> None:
  """Raises ValueError unless the folder is a bundle or a workdir."""
  path = epath.Path(checkpoint)
  names = ("bundle.json", workdir_lib.CONFIG)
  if not any((path / name).exists() for name in names):
    raise ValueError(
      f"checkpoint={checkpoint} must be a bundle (a folder with {names[0]}) "
      f"or a training workdir (with {names[1]}), and is neither."
    )


def _load(config: Config, checkpoint: str, step: str) -> bundle_lib.Bundle:
  running = {
    "dtype": config.model.dtype,
    "conv_implementation": config.model.conv_implementation,
  }
  if (epath.Path(checkpoint) / "bundle.json").exists():
    return bundle_lib.load_bundle(checkpoint, **running)
  averaged = config.evaluation.averaged_weights
  return load_run(checkpoint, step=step, averaged=averaged, **running)


def _step_number(directory: pathlib.Path, step: str) -> int:
  """Returns the number that "latest" or "best" stands for."""
  if step == "best":
    return checkpoint_lib.best_step(directory)
  if step != "latest":
    if not step.isdecimal():
      raise ValueError(f"step={step!r} must be latest, best, or a number.")
    return int(step)
  steps = checkpoint_lib.steps(directory)
  if not steps:
    raise ValueError(f"There is no finished checkpoint in {directory} yet.")
  return steps[-1]


def _check_same_model(config: Config, checkpoint: str, model: Any) -> None:
  """Raises ValueError when a checkpoint holds another network."""
  theirs = models.architecture(model)
  ours = models.architecture(models.create_model(**config.model))
  misfits = [
    f"{name} {theirs[name]} there, {ours[name]} here"
    for name in ("widths", "depths", "ffn_ratios", "num_classes")
    if theirs[name] != ours[name]
  ]
  if misfits:
    raise ValueError(
      f"checkpoint={checkpoint} is of another architecture than config.model "
      f"({config.model.name}): {'; '.join(misfits)}. Name the config that "
      "belongs to it."
    )


def _preprocessing(
  own: data.Preprocessing, overridden: Mapping[str, Any]
) -> data.Preprocessing:
  """Returns the weights' own preprocessing but for what was overridden."""
  prefix = "preprocessing."
  changes = {
    key.removeprefix(prefix): value
    for key, value in overridden.items()
    if key.startswith(prefix)
  }
  for name, value in changes.items():
    logging.warning(
      "preprocessing.%s=%s overrides the weights' own, %s.",
      name,
      value,
      getattr(own, name),
    )
  result = dataclasses.replace(own, **changes)
  logging.info("Preprocessing: %s", result)
  return result
