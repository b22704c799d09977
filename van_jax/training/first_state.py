"""The state before the first update: drawn, or laid over given weights."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from van_jax import parallel
from van_jax.training import randomness
from van_jax.training.recipe import pretrained
from van_jax.training.state import TrainState, create_state

# From the variables to start from, or None, to the state.
Create = Callable[[Mapping[str, Any] | None], TrainState]


def creator(
  model: Any,
  optimizer: optax.GradientTransformation,
  *,
  image_size: int,
  seed: int,
  averages: bool,
  head_scale: float = 1.0,
) -> Create:
  """Returns the function from given variables (or None) to a state.

  Args:
    model: that is trained.
    optimizer: of its parameters.
    image_size: pixels a side.
    seed: of the run; what is not given is drawn from it.
    averages: whether the state holds averages of the weights.
    head_scale: of a fresh head beside given weights; see `pretrained.merge`.
  """
  root_key = jax.random.key(seed)

  def create(initial):
    key = randomness.stream(root_key, "init", 0)
    images = jnp.zeros((1, image_size, image_size, 3))
    variables = model.init(key, images, train=False)
    if initial is not None:
      variables = pretrained.merge(variables, initial, head_scale=head_scale)
    return create_state(variables, optimizer, ema=averages)

  return create


def place(
  create: Create, initial: Mapping[str, Any] | None, mesh: Mesh
) -> TrainState:
  """Returns the state, on a mesh.

  Args:
    create: of `creator`.
    initial: the variables to start from; None for none.
    mesh: of the devices.

  Raises:
    UserError: when the variables do not fit the model.
  """
  # Run once, so that compiling is all its cost; LLVM's passes double it.
  on_cpu = jax.default_backend() == "cpu"
  options = {"xla_backend_optimization_level": 0} if on_cpu else None
  shardings = parallel.state_shardings(jax.eval_shape(create, None), mesh)
  run = jax.jit(create, out_shardings=shardings, compiler_options=options)
  return run(initial)
