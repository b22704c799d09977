"""Running out of memory: one line, and what it advises can be done."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import errors, experiment
from van_jax.experiment import out_of_memory
from van_jax.training import compiling

TPU = (
  "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. "
  "Used 32.0G of 16.0G hbm. Exceeded hbm capacity by 16.0G."
)


@pytest.fixture
def line(tiny_config):
  """Returns a function that fails in a step, and gives the line."""

  def line(error, memory=None, context=out_of_memory.in_training, **changes):
    config = tiny_config(**{"batch_size": 128, **changes})
    given = () if context is out_of_memory.in_evaluation else (lambda: memory,)
    with pytest.raises(errors.UserError) as info, context(config, *given):
      raise error
    assert "\n" not in str(info.value)
    return str(info.value)

  return line


def test_the_line_says_what_helps_at_this_config(line):
  text = line(jax.errors.JaxRuntimeError(TPU))
  assert "batch_size=128: 16 images at once on each of 8 devices" in text
  assert "need 32 GiB of the 16 GiB" in text
  assert "--config.model.remat=True" in text
  assert "--config.model.dtype=bfloat16" in text
  # 16 images need 32 GiB: 7 fit into 0.9 of 16, 4 are what 128 is cut into.
  assert "--config.accumulation_steps=4 (the same batch, 4 images" in text
  assert "--config.batch_size=56, which would about fit" in text


def test_what_is_on_already_is_not_advised(line):
  text = line(
    jax.errors.JaxRuntimeError(TPU),
    **{
      "model.remat": True,
      "model.dtype": "bfloat16",
      "accumulation_steps": 16,
    },
  )
  for way in ("remat", "bfloat16", "accumulation_steps", "--config.batch_size"):
    assert way not in text
  assert "image_size" in text


def test_batch_norm_groups_are_not_cut(line):
  text = line(
    jax.errors.JaxRuntimeError(TPU), **{"model.batch_norm_group_size": 64}
  )
  assert "accumulation_steps" not in text


def test_the_program_says_what_fits_where_the_message_does_not(
  line, monkeypatch
):
  monkeypatch.setattr(out_of_memory, "_device_limit", lambda: 1000)
  memory = types.SimpleNamespace(
    argument_size_in_bytes=100, temp_size_in_bytes=1600
  )
  error = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
  # 100 bytes an image beside 100: eight fit into 900.
  assert "--config.batch_size=64" in line(error, memory)


def test_host_memory_counts_too(line):
  with pytest.raises(MemoryError) as info:
    np.empty(1 << 60, np.int8)
  assert "GiB more were not to be had" in line(info.value)


def test_evaluation_names_its_own_batch(line):
  text = line(
    jax.errors.JaxRuntimeError(TPU),
    context=out_of_memory.in_evaluation,
    **{"evaluation.batch_size": 64},
  )
  assert "in evaluation at evaluation.batch_size=64" in text
  assert "--config.evaluation.batch_size=24 (the same scores)" in text


def test_a_real_allocation_that_fails_is_told(line):
  with pytest.raises(jax.errors.JaxRuntimeError) as info:
    jnp.zeros(1 << 48, jnp.int8).block_until_ready()
  assert "out of memory at batch_size=128" in line(info.value)


def test_other_errors_of_xla_stay_what_they_are(tiny_config):
  error = jax.errors.JaxRuntimeError("INTERNAL: a bug")
  with (
    pytest.raises(jax.errors.JaxRuntimeError, match="a bug"),
    out_of_memory.in_training(tiny_config()),
  ):
    raise error


def test_a_run_whose_step_fails_ends_in_the_line(
  tiny_config, tmp_path, monkeypatch
):
  def fail(self, state, batch):
    raise jax.errors.JaxRuntimeError(TPU)

  monkeypatch.setattr(compiling.CompiledStep, "__call__", fail)
  with pytest.raises(errors.UserError, match="out of memory at batch_size=16"):
    experiment.train(tiny_config(), workdir=str(tmp_path / "run"))
