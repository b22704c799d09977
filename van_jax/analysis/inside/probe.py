"""Reads and nudges what flows through a model, wherever its VAN stands."""

import numbers
from collections.abc import Collection, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from van_jax import errors, models
from van_jax.models.attention import table

Path = tuple[str, ...]  # Of a module within the model, by names.
GATING_UNIT = ("attn", "spatial_gating_unit")  # Within a block.

_INTERMEDIATES = "intermediates"
_SIZE = 64  # Pixels a side of images that nobody sees.


def call(model: nn.Module, variables: Any, images: Any, **options: Any) -> Any:
  """Returns what the model gives in inference; as `model.apply` for options."""
  told = {"train": False} if table.takes_train(model) else {}
  return model.apply(variables, images, **told, **options)


def find_van(
  model: nn.Module, variables: Any, images: Any = None
) -> tuple[Path, models.VAN]:
  """Returns where the model's VAN is, and that VAN, on its own.

  Nothing is computed: the model is traced, if it is no VAN itself.

  Args:
    model: a VAN, or any module that calls one.
    variables: of the model.
    images: [B, H, W, 3] that the model takes, or their shape; None for square
      ones.

  Raises:
    UserError: if it calls none, or several, or the variables are not whole.
  """
  if "params" not in variables:
    raise errors.UserError(
      f"variables have {sorted(variables)}, and must have params and "
      "batch_stats, as model.init gives them and bundle.variables has them."
    )
  if isinstance(model, models.VAN):
    return (), model
  if images is None:
    images = jax.ShapeDtypeStruct((1, _SIZE, _SIZE, 3), jnp.float32)
  found: dict[Path, models.VAN] = {}

  def watch(call_method, args, kwargs, context):
    runs = context.method_name in ("__call__", "features")
    if runs and isinstance(context.module, models.VAN):
      found[context.module.path] = context.module.clone(parent=None)
    return call_method(*args, **kwargs)

  with nn.intercept_methods(watch):
    jax.eval_shape(lambda v, x: call(model, v, x), variables, images)
  if len(found) != 1:
    places = ", ".join(sorted("/".join(path) for path in found)) or "none"
    raise errors.UserError(
      f"{type(model).__name__} must hold one VAN, and of those that it calls "
      f"there are: {places}; give the VAN itself with its own variables."
    )
  return next(iter(found.items()))


def blocks(van: models.VAN) -> dict[str, str]:
  """Returns, by names such as "stage4/block1", the modules' own: "block4_1".

  Stages count from 1 and blocks from 0, as in checkpoints.
  """
  return {
    f"stage{s}/block{j}": f"block{s}_{j}"
    for s, depth in enumerate(van.depths, start=1)
    for j in range(depth)
  }


def last_blocks(van: models.VAN) -> dict[str, str]:
  """Returns those of `blocks` that end a stage."""
  known = blocks(van)
  ends = (f"stage{s}/block{n - 1}" for s, n in enumerate(van.depths, start=1))
  return {name: known[name] for name in ends}


def find_block(van: models.VAN, block: str) -> str:
  """Returns the module's name of a block, or raises UserError."""
  known = blocks(van)
  if block not in known:
    raise errors.UserError(
      f"block={block!r} must be one of {', '.join(known)}; stages count from "
      "1 and blocks from 0."
    )
  return known[block]


def check_stage(stage: int) -> None:
  """Raises UserError unless there is such a stage."""
  if stage not in (1, 2, 3, 4) or not isinstance(stage, numbers.Integral):
    raise errors.UserError(f"stage={stage!r} must be 1, 2, 3 or 4.")


def no_nudge(
  model: nn.Module, variables: Any, images: Any, place: Path
) -> jax.Array:
  """Returns zeros like a module's output, at which `run` is differentiated."""
  like = jax.eval_shape(
    lambda: run(model, variables, images, places=[place])[1][place]
  )
  return jnp.zeros(like.shape, like.dtype)


def run(
  model: nn.Module,
  variables: Any,
  images: Any,
  *,
  places: Collection[Path] = (),
  inputs: Mapping[Path, Any] | None = None,
  outputs: Mapping[Path, Any] | None = None,
) -> tuple[Any, dict[Path, Any]]:
  """Runs the model in inference, and looks at modules within.

  It is for use under `jax.jit` and `jax.grad`: the gradient with respect to
  what is added to a module's output is that with respect to the output.

  Args:
    model: any.
    variables: of the model.
    images: [B, H, W, 3].
    places: modules whose outputs are wanted.
    inputs: by module, what is added to the first argument of its call.
    outputs: by module, what is added to its output.

  Returns:
    what the model gives, and by path what the places gave and all that modules
    have sown (a module's path, then the name that it was sown under). Of
    several calls, or values of one name, the last.
  """
  into, onto = inputs or {}, outputs or {}

  def nudge(call_method, args, kwargs, context):
    path = context.module.path
    if context.method_name != "__call__":
      return call_method(*args, **kwargs)
    if path in into:
      args = (args[0] + into[path], *args[1:])
    result = call_method(*args, **kwargs)
    return result + onto[path] if path in onto else result

  def wanted(module, method):
    return method == "__call__" and module.path in places

  with nn.intercept_methods(nudge):
    result, state = call(
      model,
      variables,
      images,
      mutable=[_INTERMEDIATES],
      capture_intermediates=wanted,
    )
  sown: Any = traverse_util.flatten_dict(state.get(_INTERMEDIATES, {}))
  found = {}
  for path, values in sown.items():
    of_call = path[-1] == "__call__"
    found[path[:-1] if of_call else path] = values[-1]
  return result, found
