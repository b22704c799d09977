"""Choosing how to compute an operation when its program is lowered.

The platform is known when a program is lowered, not when it is traced: a CPU
host compiles for TPUs. Differentiating `lax.platform_dependent` would keep
residuals of every branch, so the forward and the backward pass each choose by
themselves, under one custom VJP. Such gradients are of first order and in
reverse mode; what else is asked for is refused by the name of the switch,
implementation="xla", under which operations are JAX's own.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NoReturn

import jax
from jax import lax
from jax.extend import core
from jax.interpreters import ad, batching, mlir

from van_jax import errors

Function = Callable[..., Any]

# What a model may name. All but "xla" are of depthwise convolutions ("grouped"
# is XLA's); other operations have "auto" for them.
IMPLEMENTATIONS = (
  "auto",
  "grouped",
  "numba_cpu",
  "pallas_gpu",
  "pallas_tpu",
  "shifted_sum",
  "xla",
)

_SWITCH = (
  "take implementation='xla', which is JAX's own; a model has a field of that "
  "name."
)
_compiled_for = ""  # A platform's name; "" for that of this process's devices.
_auto_is_xla = False  # Since a kernel was found wrong in this process.


@dataclasses.dataclass(frozen=True)
class Way:
  """One way to compute an operation of arrays, or of None for one of them.

  Attributes:
    run: run(*arrays) -> result.
    forward: forward(*arrays) -> (result, residuals); by default the arrays are
      the residuals. All ways of an operation have residuals of one structure.
    backward: backward(residuals, gradient) -> a gradient for each array; by
      default that of `run`.
  """

  run: Function
  forward: Function | None = None
  backward: Function | None = None

  def of(self, direction: str) -> Function:
    """Returns the function of that name, or what stands for it."""
    own = getattr(self, direction)
    if own is not None:
      return own
    if direction == "forward":
      return lambda *arrays: (self.run(*arrays), arrays)
    return lambda arrays, gradient: jax.vjp(self.run, *arrays)[1](gradient)


def compute(arrays: tuple[Any, ...], default: Way, **platforms: Way) -> Any:
  """Returns the operation's result, each direction computed as it suits.

  Args:
    arrays: what the operation takes, and has gradients for.
    default: the way of platforms that are not named.
    **platforms: the ways of some, by JAX's names: cpu, tpu, cuda, rocm.

  Raises:
    UserError: when a derivative of another kind is asked for.
  """

  def choose(direction):
    plain = default.of(direction)
    ways = {
      platform: way.of(direction)
      for platform, way in platforms.items()
      if way is not default
    }
    ways = {platform: way for platform, way in ways.items() if way != plain}
    if not ways:
      return plain
    return lambda *args: lax.platform_dependent(*args, default=plain, **ways)

  @jax.custom_vjp
  def run(*arrays):
    return choose("run")(*arrays)

  def forward(*arrays):
    return choose("forward")(*jax.tree.map(_once, arrays))

  def backward(residuals, gradient):
    return choose("backward")(*jax.tree.map(_once, (residuals, gradient)))

  run.defvjp(forward, backward)
  return in_reverse(run, arrays)


def is_plain(implementation: str, arrays: tuple[Any, ...]) -> bool:
  """Returns whether JAX's own operation is asked for, or what "auto" means.

  Raises:
    UserError: on a name that is none; where another operation is asked for
      and a size is not known, as in an exported program for any batch.
  """
  if implementation not in IMPLEMENTATIONS:
    raise errors.UserError(
      f"implementation={implementation!r} is not one; choose one of "
      f"{', '.join(IMPLEMENTATIONS)}."
    )
  if implementation == "xla" or (implementation == "auto" and _auto_is_xla):
    return True
  for array in jax.tree.leaves(arrays):
    if not all(isinstance(size, int) for size in array.shape):
      raise errors.UserError(
        f"implementation={implementation!r} needs to know all sizes, got an "
        f"array of shape {array.shape}; {_SWITCH}"
      )
  return False


def distrust() -> None:
  """Makes "auto" mean "xla" in what this process traces from now on."""
  global _auto_is_xla
  _auto_is_xla = True


def compile_for(platform: str) -> None:
  """Says what this process's programs are for: devices that are not here."""
  global _compiled_for
  _compiled_for = platform


def platform() -> str:
  """Returns the platform that this process's programs are for."""
  return _compiled_for or jax.default_backend()


def in_reverse(run: Function, arrays: tuple[Any, ...]) -> Any:
  """Returns run(*arrays), whose derivatives in forward mode are refused."""
  try:
    return run(*jax.tree.map(_in_reverse, arrays))
  except TypeError as error:
    # JAX's own refusal, of a custom VJP under vmap, comes before ours.
    if "forward-mode" not in str(error):
      raise
    _refuse_forward_mode()


@jax.custom_jvp
def _once(x):
  return x


@_once.defjvp
def _(primals, tangents) -> NoReturn:
  raise errors.UserError(
    f"operations have gradients of first order; for a gradient of a gradient, "
    f"{_SWITCH}"
  )


@jax.custom_jvp
def _in_reverse(x):
  return x


@_in_reverse.defjvp
def _(primals, tangents):
  return primals[0], _tangent.bind(tangents[0])


def _refuse_forward_mode(*args, **kwargs) -> NoReturn:
  raise errors.UserError(
    f"operations have gradients in reverse mode alone; for jax.jvp, "
    f"jax.jacfwd or jax.linearize, {_SWITCH}"
  )


# Reverse mode transposes the tangents' path and never computes it: who does is
# in forward mode.
_tangent = core.Primitive("reverse_mode_only")
_tangent.def_impl(_refuse_forward_mode)
_tangent.def_abstract_eval(lambda tangent: tangent)
mlir.register_lowering(_tangent, _refuse_forward_mode)
ad.deflinear2(_tangent, lambda gradient, tangent: (gradient,))
batching.defvectorized(_tangent)
