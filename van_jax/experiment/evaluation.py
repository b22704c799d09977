"""Scoring weights, from a bundle or from a training workdir."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import jax
from absl import logging
from etils import epath

from van_jax import data, models
from van_jax.evaluation import evaluator
from van_jax.experiment import checks, parts, weights
from van_jax.experiment.checks import Config
from van_jax.training import sharding

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
  weights.check_is_weights(checkpoint)
  if output:
    _make_room(epath.Path(output))
  source = data.open_source(**{**config.data, "train_split": None})
  checks.check_classes(config, source)
  parts.start_devices(config, distributed=distributed)
  sharding.check_batch_size(
    "evaluation.batch_size", config.evaluation.batch_size
  )
  bundle = weights.load_weights(
    checkpoint,
    step=step,
    averaged=config.evaluation.averaged_weights,
    dtype=config.model.dtype,
    conv_implementation=config.model.conv_implementation,
  )
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


def _make_room(output: epath.Path) -> None:
  """Makes the folder of a file, so that no scores are lost for want of it."""
  if output.is_dir():
    raise ValueError(f"output={output} is a folder; name a JSON file.")
  try:
    output.parent.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise ValueError(
      f"output={output} cannot be written: {error}; name a file in a folder "
      "that can be."
    ) from error


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
