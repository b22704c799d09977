"""The calls of modules within a model, each able to run on its own."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from van_jax import errors
from van_jax.analysis.additions import additions
from van_jax.analysis.inside import probe


@dataclasses.dataclass
class Call:
  """A module's call; of arrays the shapes.

  Attributes:
    module: on its own, outside of the model.
    path: where it was within the model.
    args: what it was called with, arrays or plain values.
    kwargs: likewise.
    variables: of the module and those within it.
    own: parameters that are of no module within it.
    result: what it gave.
    additions: of its bias or norm.
    within: the calls that it made.
  """

  module: nn.Module
  path: probe.Path
  args: tuple[Any, ...]
  kwargs: dict[str, Any]
  variables: dict[str, Any]
  own: dict[str, Any]
  result: Any = None
  additions: int = 0
  within: list["Call"] = dataclasses.field(default_factory=list)

  def program(self) -> tuple[Callable[..., Any], list[Any]]:
    """Returns `(variables, arrays) -> result` and the arrays' shapes."""
    leaves, tree = jax.tree.flatten((self.args, self.kwargs))

    def run(variables, arrays):
      given = iter(arrays)
      filled = [next(given) if _is_array(x) else x for x in leaves]
      args, kwargs = jax.tree.unflatten(tree, filled)
      return self.module.apply(variables, *args, **kwargs)

    return run, [x for x in leaves if _is_array(x)]

  def key(self) -> Any:
    """Returns what is equal for equal calls; None if that cannot be told."""
    leaves, tree = jax.tree.flatten((self.args, self.kwargs))
    plain = [(x.shape, x.dtype) if _is_array(x) else x for x in leaves]
    key = (self.module, tuple(plain), tree)
    try:
      hash(key)
    except TypeError:
      return None
    return key


def calls(model: nn.Module, variables: Any, images: Any) -> list[Call]:
  """Returns all calls that the model makes, in order; nothing is computed.

  Args:
    model: any.
    variables: of the model, or their shapes.
    images: [B, H, W, 3], or their shape.

  Raises:
    UserError: where convolutions are not XLA's.
  """
  found: list[Call] = []
  around: list[Call] = []

  def watch(call_method, args, kwargs, context):
    module = context.module
    if context.method_name != "__call__":
      return call_method(*args, **kwargs)
    _check_countable(module)
    seen = dict(module.variables)
    params = seen.get("params", {})
    own = {k: v for k, v in params.items() if _is_array(v)}
    shapes = jax.tree.map(_shape, (args, kwargs, seen, own))
    call = Call(module.clone(parent=None, name=None), module.path, *shapes)
    found.append(call)
    if around:
      around[-1].within.append(call)
    around.append(call)
    result = call_method(*args, **kwargs)
    around.pop()
    call.result = jax.tree.map(_shape, result)
    call.additions = additions(module, args, result)
    return result

  with nn.intercept_methods(watch):
    jax.eval_shape(lambda v, x: probe.call(model, v, x), variables, images)
  return found


def _check_countable(module: nn.Module) -> None:
  if getattr(module, "implementation", "xla") != "xla":
    raise errors.UserError(
      f"{'/'.join(module.path)} computes convolutions that cannot be counted: "
      "let the VAN be a field of the module around it, or make it with "
      "implementation='xla'."
    )


def _is_array(value: Any) -> bool:
  return hasattr(value, "shape") and hasattr(value, "dtype")


def _shape(value: Any) -> Any:
  if not _is_array(value):
    return value
  return jax.ShapeDtypeStruct(value.shape, value.dtype)
