"""What can be said of a config before its data and devices are touched."""

from typing import Any

import jax

from van_jax import errors, models
from van_jax.cli import dotted_keys
from van_jax.experiment import looks, recipe_task, section_table, sections
from van_jax.experiment.sections import Config
from van_jax.training import state
from van_jax.training.recipe import ema, losses
from van_jax.training.run import checkpoint, profiling

_POSITIVE = (
  "batch_size",
  "accumulation_steps",
  "evaluation.batch_size",
  "evaluation.every_epochs",
  "checkpoint.every_epochs",
  "logging.every_steps",
  "deadlines.start_up_seconds",
  "deadlines.barrier_seconds",
  "deadlines.compile_seconds",
  "deadlines.restore_seconds",
  "deadlines.step_seconds",
  "deadlines.save_seconds",
  "deadlines.evaluation_seconds",
  "mesh.fsdp",
)
_GRADIENT_DTYPES = ("float32", "bfloat16")


def check_config(config: Config) -> None:
  """Raises UserError for what can be known without data and devices."""
  _check_kind(config)
  sections.check(config)
  # A bundle must be able to say it: better now than at the end of the run.
  models.architecture(sections.build(config, "model"))
  with sections.naming("task"):
    recipe_task.create_task(config)
  looks.applied(config, lambda: None)
  looks.ratios(config)
  looks.check_seen(config)
  if section_table.has_masks(config):
    _check_head_scale(config)
    _check_unread_options(config)
  else:
    losses.check_smoothing(
      config.loss.options.to_dict(),
      label_smoothing=config.mixing.label_smoothing,
      num_classes=config.model.num_classes,
    )
  _check_numbers(config)
  checkpoint.check_kept(
    config.checkpoint.keep_last, config.checkpoint.keep_best
  )
  profiling.check_window(
    config.logging.profile_first_step, config.logging.profile_steps
  )
  own = config.optimizer
  if own.frozen_patterns or own.undecayed_patterns:  # Tracing takes seconds.
    _check_patterns(config)


def _check_kind(config: Config) -> None:
  """Raises UserError where task and model are of different kinds."""
  key, dense = "task.name", section_table.has_masks(config)
  name = dotted_keys.get(config, key) if dotted_keys.has(config, key) else ""
  if name == "segmentation" and not dense:
    raise errors.UserError(
      "config.task.name='segmentation' needs a model with a head, "
      "config.model.head; start from configs/segmentation.py, which has every "
      "key of it."
    )
  if name == "classification" and dense:
    raise errors.UserError(
      "config.task.name='classification' is of one class an image, and "
      "config.model.head gives one a pixel; name 'segmentation', or start from "
      "configs/default.py."
    )


def _check_head_scale(config: Config) -> None:
  """Raises UserError for a scale that nothing of a segmenter has."""
  scale = config.pretrained_head_scale
  if scale != 1:
    raise errors.UserError(
      f"config.pretrained_head_scale={scale} must be 1.0 beside config.model."
      "head: it is of a classifier's new head, and those of a segmenter begin "
      "as mmsegmentation's; to spare the backbone warm up, by "
      "schedule.warmup_epochs."
    )


def _check_unread_options(config: Config) -> None:
  """Raises UserError for options of segmentation that nothing would read."""
  if config.task.name != "segmentation":
    return
  given = config.task.options
  needs = {
    "auxiliary_weight": "model.auxiliary.name",
    "ohem_threshold": "task.options.ohem_min_kept",
  }
  for option, needed in needs.items():
    there = dotted_keys.has(config, needed)
    if given.get(option) is None or (
      there and dotted_keys.get(config, needed) is not None
    ):
      continue
    raise errors.UserError(
      f"config.task.options.{option}={given[option]} needs config.{needed}, "
      "which is None, and changes nothing; set that, or leave this out."
    )


def check_trainable(config: Config) -> None:
  """Raises UserError unless gradients can be computed in the model's dtype."""
  state.check_trainable(config.model.dtype)


def abstract_variables(config: Config) -> Any:
  """Returns the shapes of the model's variables; nothing is computed."""
  return models.variable_shapes(sections.build(config, "model"))


def _check_numbers(config: Config) -> None:
  ema.check_decay(config.ema.decay)
  if not 0 <= config.seed < 1 << 32:  # What a key of jax.random holds.
    raise errors.UserError(
      f"config.seed={config.seed} must be from 0 to {(1 << 32) - 1}."
    )
  if config.mesh.gradient_dtype not in _GRADIENT_DTYPES:
    raise errors.UserError(
      f"config.mesh.gradient_dtype={config.mesh.gradient_dtype!r} must be "
      f"{' or '.join(_GRADIENT_DTYPES)}: what gradients are summed in."
    )
  for key in _POSITIVE:
    value = dotted_keys.get(config, key)
    if value is not None and value <= 0:
      raise errors.UserError(f"config.{key}={value} must be above 0.")


def _check_patterns(config: Config) -> None:
  """Raises UserError unless patterns match the model's parameters."""
  schedule = sections.build(config, "schedule", steps_per_epoch=1)
  optimizer = sections.build(config, "optimizer", schedule=schedule)
  jax.eval_shape(optimizer.init, abstract_variables(config)["params"])
