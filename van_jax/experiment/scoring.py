"""What all scoring of weights shares: loading, checking, preprocessing."""

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
from absl import logging

from van_jax import (
  bundle as bundle_lib,
  data,
  errors,
  parallel,
  storage,
)
from van_jax.bundle import description
from van_jax.experiment import (
  agreement,
  model_check,
  old_configs,
  parts,
  recipe_task,
  weights,
)
from van_jax.experiment.sections import Config
from van_jax.parallel import processes

Shown = TypeVar("Shown", data.Preprocessing, data.DensePreprocessing)


def create_mesh(config: Config) -> jax.sharding.Mesh:
  """Returns the mesh to score on: as the config says, if these devices can.

  Weights that were trained on many devices are scored on few, too.
  """
  given = config.mesh.fsdp
  for fsdp in range(given, 0, -1):
    with contextlib.suppress(errors.UserError):
      mesh = parallel.create_mesh(fsdp=fsdp)
      if fsdp != given:
        logging.info(
          "mesh.fsdp=%d becomes %d, for the devices that are here.", given, fsdp
        )
      return mesh
  raise AssertionError("1 divides all")


def start(
  config: Config,
  *,
  checkpoint: str,
  step: str,
  fold_batch_norm: bool,
  overridden: Mapping[str, Any],
  trust_class_order: bool,
  distributed: processes.Group | None,
  **told: Any,
) -> tuple[bundle_lib.Bundle, jax.sharding.Mesh]:
  """Touches the devices and loads the weights, alike in all processes.

  Args:
    config: unlocked; its evaluation's batch is made to suit the devices.
    checkpoint: see `evaluation.evaluate`, as are the others.
    step: of a workdir.
    fold_batch_norm: leave its passes out.
    overridden: dotted config keys that the user set by hand.
    trust_class_order: whatever the classes' names.
    distributed: what is known of the other processes, which all call this.
    **told: what else must be the same in all of them.

  Returns:
    the weights, placed as in training, and the mesh that they lie on.

  Raises:
    UserError: when the weights do not suit the config, or other processes are
      about something else.
    CheckpointError: a checkpoint that is missing or damaged.
  """
  _check_task(config, checkpoint)
  parts.start_devices(
    config,
    distributed=distributed,
    agree=lambda: agreement.check(
      config,
      step=step,
      fold_batch_norm=fold_batch_norm,
      overridden=dict(overridden),
      trust_class_order=trust_class_order,
      **told,
    ),
  )
  _suit_devices(config)
  bundle = weights.load_weights(
    checkpoint,
    step=step,
    averaged=config.evaluation.averaged_weights,
    fold_batch_norm=fold_batch_norm,
    **model_check.strangers(config),
    task=recipe_task.create_task(config),
    dtype=config.model.dtype,
    implementation=config.model.implementation,
  )
  model_check.check_same(config, checkpoint, bundle.model)
  agreement.check_weights(bundle.variables)
  mesh = create_mesh(config)
  placed = parallel.placed(bundle.variables, mesh)
  return dataclasses.replace(bundle, variables=placed), mesh


def _check_task(config: Config, checkpoint: str) -> None:
  """Raises UserError where weights are for another of van_jax's own tasks."""
  weights.check_is_weights(checkpoint)
  if bundle_lib.is_bundle(checkpoint):
    theirs = description.read(storage.absolute(checkpoint))["task"]
  else:
    theirs = old_configs.read(checkpoint).task.name
  ours = config.task.name
  own = {bundle_lib.CLASSIFICATION, bundle_lib.SEGMENTATION}
  if theirs != ours and {theirs, ours} == own:
    raise errors.UserError(
      f"checkpoint={checkpoint} holds weights for {theirs}, and "
      f"config.task.name={ours}; name the config that belongs to them, or "
      f"weights for {ours}."
    )


def _suit_devices(config: Config) -> None:
  """Makes the evaluation's batch a whole number of images a device.

  Scores do not depend on it. With devices touched.

  Args:
    config: unlocked; evaluation.batch_size of 0 stands for 64 a device.
  """
  devices, given = jax.device_count(), config.evaluation.batch_size
  if given < 0:
    raise errors.UserError(f"evaluation.batch_size={given} must be above 0.")
  fit = -(-given // devices) * devices or 64 * devices
  if given and fit != given:
    logging.info(
      "evaluation.batch_size=%d is rounded up to %d, for %d devices.",
      given,
      fit,
      devices,
    )
  config.evaluation.batch_size = fit


def write(output: str, scores: Mapping[str, Any]) -> None:
  """Writes scores as a JSON file, all of it or nothing."""
  with storage.replacing(output) as draft:
    draft.write_text(json.dumps(scores, indent=2) + "\n")


def overridden_preprocessing(
  own: Shown, overridden: Mapping[str, Any]
) -> Shown:
  """Returns the weights' own preprocessing but for what was overridden."""
  prefix = "preprocessing."
  changes = {
    key.removeprefix(prefix): value
    for key, value in overridden.items()
    if key.startswith(prefix)
  }
  if "data.exif_rotation" in overridden:
    changes["exif_rotation"] = overridden["data.exif_rotation"]
  for name, value in changes.items():
    logging.warning(
      "preprocessing.%s=%s overrides the weights' own, %s.",
      name,
      value,
      getattr(own, name),
    )
  result = own.replace(**changes)
  logging.info("Preprocessing: %s", result)
  return result
