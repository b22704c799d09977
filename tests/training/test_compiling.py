"""The first step is compiled by itself, announced, and not timed."""

import contextlib
import types
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from van_jax.training import compiling, loop

STATE: Any = types.SimpleNamespace(step=0)


class Step:
  """A jitted step, and what has been done to it."""

  def __init__(self):
    self.done = []

  def lower(self, state, batch):
    """Lowers a function of the batch."""
    self.done.append("lower")
    lowered = jax.jit(lambda x: x + 1).lower(batch)
    return types.SimpleNamespace(compile=lambda: self.compiled(lowered))

  def compiled(self, lowered):
    """Returns what calls the compiled function."""
    program = lowered.compile()

    def call(state, batch):
      self.done.append("step")
      return state, {"loss": program(batch)}

    call.memory_analysis = program.memory_analysis
    return call


def compiled_step(step, *, stop=False):
  @contextlib.contextmanager
  def paused():
    step.done.append("pause")
    yield
    step.done.append("go on")

  return compiling.CompiledStep(step, interrupted=lambda: stop, paused=paused)


def test_it_is_compiled_once_outside_of_what_is_timed(caplog):
  caplog.set_level("INFO", logger="absl")
  step = Step()
  run = compiled_step(step)
  for _ in range(2):
    assert run(STATE, jnp.ones(()))[1]["loss"] == 2
  assert step.done == ["pause", "lower", "go on", "step", "step"]
  assert "Compiling the training step ..." in caplog.text
  assert "Compiled in 0 s." in caplog.text


def test_a_stop_asked_for_while_compiling_comes_before_the_step():
  step = Step()
  with pytest.raises(loop.InterruptedRunError, match="before the first step"):
    compiled_step(step, stop=True)(STATE, jnp.ones(()))
  assert "step" not in step.done
