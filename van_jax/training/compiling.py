"""The training step, compiled by itself at its first call, and announced."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import jax
from absl import logging

from van_jax.training import loop
from van_jax.training.state import TrainState
from van_jax.training.step import Step


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
  ):
    """Compiles nothing yet.

    Args:
      step: of `step.make_train_step`.
      interrupted: asked once more when it is compiled.
      paused: the time within is no part of a run's speed.
    """
    self.memory: Any = None
    self._step: Any = step  # The compiled one, later.
    self._interrupted = interrupted
    self._paused = paused
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
    self._step = self._step.lower(state, batch).compile()
    self.seconds = time.monotonic() - start
    logging.info("Compiled in %.0f s.", self.seconds)
    self.memory = self._step.memory_analysis()
