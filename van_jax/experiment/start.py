"""What a run starts from: its checkpoint, another run's, weights, or none."""

from collections.abc import Mapping
from typing import Any

import jax
from absl import logging

from van_jax import errors, parallel, released
from van_jax.experiment import (
  agreement,
  branching,
  config_check,
  parts,
  pretrained_bundle,
)
from van_jax.experiment.sections import Config
from van_jax.training import first_state as first_state_lib
from van_jax.training.recipe import pretrained
from van_jax.training.run.checkpoint import Checkpointer
from van_jax.training.state import TrainState


def pretrained_variables(config: Config) -> Mapping[str, Any] | None:
  """Returns the variables that fine-tuning starts from, if any."""
  if not config.pretrained_bundle:
    return None
  try:
    path = released.local_bundle(config.pretrained_bundle)
    variables, preprocessing = pretrained_bundle.load(config, path)
    pretrained.check(config_check.abstract_variables(config), variables)
  except errors.UserError as error:
    if type(error) is not errors.UserError:
      raise  # Its kind says whether the same command may go on.
    raise errors.UserError(
      f"pretrained_bundle={config.pretrained_bundle}: {error} Or train "
      "without, --config.pretrained_bundle=''."
    ) from error
  for name in ("mean", "std"):
    theirs = getattr(preprocessing, name)
    ours = tuple(config.preprocessing[name])
    if theirs != ours:
      logging.warning(
        "preprocessing.%s=%s, but the pretrained weights were trained with "
        "%s; set it to theirs unless you mean to change it.",
        name,
        ours,
        theirs,
      )
  return variables


def first_state(
  config: Config,
  recipe: parts.Recipe,
  mesh: jax.sharding.Mesh,
  origin: branching.Origin | None,
) -> TrainState:
  """Returns the state of a run that has no checkpoint yet.

  Raises:
    UserError: when the bundle, or the other run, does not fit the config.
    CheckpointError: when the other run's checkpoint cannot be read.
  """
  create = _state_creator(config, recipe)
  if origin is not None:
    return branching.state(origin, config, abstract_state(config, recipe, mesh))
  initial = pretrained_variables(config)
  if initial is not None:  # Each process has read its own: JAX compares none.
    agreement.check_weights(initial)
  return first_state_lib.place(create, initial, mesh)


def last_state(
  config: Config,
  recipe: parts.Recipe,
  mesh: jax.sharding.Mesh,
  checkpointer: Checkpointer,
) -> TrainState:
  """Returns the newest state of a run that has a checkpoint.

  Whatever it started from is not read: it may have moved.

  Raises:
    CheckpointError: when none can be read.
  """
  like = abstract_state(config, recipe, mesh)
  state = checkpointer.restore_latest(like)
  assert state is not None, "who calls this has seen one"
  logging.info("Going on from the checkpoint of step %d.", int(state.step))
  if config.pretrained_bundle:
    logging.info(
      "pretrained_bundle=%s is not read: the checkpoint has what became of it.",
      config.pretrained_bundle,
    )
  return state


def abstract_state(
  config: Config, recipe: parts.Recipe, mesh: jax.sharding.Mesh
) -> TrainState:
  """Returns a state's shapes, dtypes and shardings; nothing is computed."""
  create = _state_creator(config, recipe)
  return parallel.with_shardings(jax.eval_shape(create, None), mesh)


def _state_creator(
  config: Config, recipe: parts.Recipe
) -> first_state_lib.Create:
  return first_state_lib.creator(
    recipe.model,
    recipe.optimizer,
    image_size=config.augmentation.image_size,
    seed=config.seed,
    averages=config.ema.decay is not None,
    head_scale=config.pretrained_head_scale,
  )
