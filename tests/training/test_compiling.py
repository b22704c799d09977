"""The first step is compiled by itself, announced, and not timed."""

import contextlib
import types
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from van_jax import errors
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


def lowered():
  return jax.jit(lambda x: x + 1).lower(jnp.ones(()))


@pytest.mark.parametrize("value", [True, "true"])
def test_options_of_the_compiler_are_passed_on(value):
  flags = {"xla_cpu_enable_fast_math": value, "xla_dump_max_hlo_modules": 3}
  assert compiling.compile_with(lowered(), flags)(jnp.ones(())) == 2


@pytest.mark.parametrize(
  ("flags", "said"),
  [
    ({"xla_foo": 1}, "No such compile option: 'xla_foo', by the compiler"),
    (
      {"xla_cpu_enable_fast_math": "maybe"},
      "While setting option xla_cpu_enable_fast_math, 'maybe' is not a valid",
    ),
    ({"xla_dump_to": (1, 2)}, r"xla_dump_to=\(1, 2\) must be True or False"),
    ({"xla_dump_to": None}, r"xla_dump_to=None must be True or False"),
  ],
)
def test_an_option_that_the_compiler_does_not_take_is_named(flags, said):
  with pytest.raises(errors.UserError, match=said):
    compiling.compile_with(lowered(), flags)


def test_the_step_is_compiled_with_its_options():
  step: Any = Step()
  step.lower = lambda state, batch: lowered()
  run = compiling.CompiledStep(
    step,
    interrupted=lambda: False,
    paused=contextlib.nullcontext,
    xla_flags={"xla_foo": 1},
  )
  with pytest.raises(errors.UserError, match="No such compile option"):
    run(STATE, jnp.ones(()))
