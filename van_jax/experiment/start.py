"""What a run starts from: its last checkpoint, pretrained weights, or none."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from absl import logging

from van_jax import bundle as bundle_lib, parallel, released
from van_jax.experiment import config_check, scoring
from van_jax.experiment.sections import Config
from van_jax.training import randomness
from van_jax.training.recipe import pretrained
from van_jax.training.run.checkpoint import Checkpointer
from van_jax.training.state import TrainState, create_state


def pretrained_variables(config: Config) -> Mapping[str, Any] | None:
  """Returns the variables that fine-tuning starts from, if any."""
  if not config.pretrained_bundle:
    return None
  bundle = bundle_lib.load_bundle(
    released.local_bundle(config.pretrained_bundle),
    attention=scoring.attention_class(config),
  )
  pretrained.check(config_check.abstract_variables(config), bundle.variables)
  for name in ("mean", "std"):
    theirs = getattr(bundle.preprocessing, name)
    ours = tuple(config.preprocessing[name])
    if theirs != ours:
      logging.warning(
        "preprocessing.%s=%s, but the pretrained weights were trained with "
        "%s; set it to theirs unless you mean to change it.",
        name,
        ours,
        theirs,
      )
  return bundle.variables


def last_or_first_state(
  config: Config,
  model: Any,
  optimizer: optax.GradientTransformation,
  checkpointer: Checkpointer,
  mesh: jax.sharding.Mesh,
  initial: Mapping[str, Any] | None,
) -> TrainState:
  """Returns the newest checkpoint's state, or the one to start from."""
  create = _state_creator(config, model, optimizer)
  like = _abstract_state(create, initial, mesh)
  state = checkpointer.restore_latest(like)
  if state is not None:
    logging.info("Going on from the checkpoint of step %d.", int(state.step))
    return state
  # Run once, so that compiling is all its cost; LLVM's passes double it.
  on_cpu = jax.default_backend() == "cpu"
  options = {"xla_backend_optimization_level": 0} if on_cpu else None
  whole = parallel.replicated(mesh)
  return jax.jit(create, out_shardings=whole, compiler_options=options)(initial)


def _state_creator(
  config: Config,
  model: Any,
  optimizer: optax.GradientTransformation,
) -> Callable[[Mapping[str, Any] | None], TrainState]:
  """Returns the function from pretrained variables (or None) to a state."""
  size = config.augmentation.image_size
  root_key = jax.random.key(config.seed)

  def create(initial):
    key = randomness.stream(root_key, "init", 0)
    images = jnp.zeros((1, size, size, 3))
    variables = model.init(key, images, train=False)
    if initial is not None:
      variables = pretrained.merge(variables, initial)
    return create_state(variables, optimizer, ema=config.ema.decay is not None)

  return create


def _abstract_state(
  create: Callable[[Any], TrainState],
  initial: Mapping[str, Any] | None,
  mesh: jax.sharding.Mesh,
) -> TrainState:
  """Returns a state's shapes, dtypes and shardings; nothing is computed."""
  whole = parallel.replicated(mesh)
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole),
    jax.eval_shape(create, initial),
  )
