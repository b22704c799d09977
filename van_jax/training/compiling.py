"""The training step, compiled by itself at its first call, and announced."""

import contextlib
import re
import time
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax
from absl import logging

from van_jax import errors
from van_jax.training import loop
from van_jax.training.state import TrainState
from van_jax.training.step import Step

# What XLA says of an option that it has not, or that has another type.
_REFUSAL = re.compile(r"(?:No such compile option|While setting option).*")
_TYPES = bool | int | float | str
_BOOLS = {"true": True, "false": False}  # As flags write them.


def compile_with(lowered: Any, xla_flags: Mapping[str, Any]) -> Any:
  """Returns the compiled program.

  Args:
    lowered: what a jitted function's `lower` returns.
    xla_flags: compile options by XLA's names.

  Raises:
    UserError: for an option that this platform's compiler does not take.
  """
  if not xla_flags:
    return lowered.compile()
  options = {key: _BOOLS.get(v, v) for key, v in xla_flags.items()}
  for key, value in options.items():
    if not isinstance(value, _TYPES):
      raise errors.UserError(
        f"config.xla_flags.{key}={value!r} must be True or False, a number or "
        "a text."
      )
  try:
    return lowered.compile(compiler_options=options)
  except jax.errors.JaxRuntimeError as error:
    if (said := _REFUSAL.search(str(error))) is None:
      raise
    raise errors.UserError(
      f"config.xla_flags={options}: {said[0].rstrip('.')}, by the compiler of "
      "this platform; set what it knows, or leave it out."
    ) from error


class CompiledStep:
  """Is called like a jitted step.

  Attributes:
    seconds: that compiling took; None before.
    memory: what a device needs for it, as XLA says; None before it is compiled
      and where XLA does not say.
  """

  def __init__(
    self,
    step: Step,
    *,
    interrupted: Callable[[], bool],
    paused: Callable[[], contextlib.AbstractContextManager[None]],
    xla_flags: Mapping[str, Any] = types.MappingProxyType({}),
  ):
    """Compiles nothing yet.

    Args:
      step: of `step.make_train_step`.
      interrupted: asked once more when it is compiled.
      paused: the time within is no part of a run's speed.
      xla_flags: as of `compile_with`.
    """
    self.memory: Any = None
    self._step: Any = step  # The compiled one, later.
    self._interrupted = interrupted
    self._paused = paused
    self._xla_flags = xla_flags
    self.seconds: float | None = None

  def __call__(
    self, state: TrainState, batch: Any
  ) -> tuple[TrainState, dict[str, jax.Array]]:
    """Does the step.

    Raises:
      InterruptedRunError: instead of the first, when asked to stop by then.
    """
    if self.seconds is None:
      done = int(state.step)
      with self._paused():
        self._compile(state, batch)
      if self._interrupted():
        raise loop.InterruptedRunError(done)
    return self._step(state, batch)

  def _compile(self, state: TrainState, batch: Any):
    logging.info("Compiling the training step ...")
    start = time.monotonic()
    self._step = compile_with(self._step.lower(state, batch), self._xla_flags)
    self.seconds = time.monotonic() - start
    logging.info("Compiled in %.0f s.", self.seconds)
    self.memory = self._step.memory_analysis()
