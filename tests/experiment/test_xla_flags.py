"""Compile options of a config, in a run and in one that goes on."""

import pytest

from van_jax import errors, experiment
from van_jax.experiment import resuming
from van_jax.training.run import workdir as workdir_lib


def test_a_run_compiles_its_step_with_them(tiny_config, tmp_path):
  config = tiny_config()
  with config.unlocked():
    config.xla_flags.xla_foo = 1
  said = "config.xla_flags=.'xla_foo': 1.: No such compile option: 'xla_foo'"
  with pytest.raises(errors.UserError, match=said):
    experiment.train(config, workdir=str(tmp_path / "run"))


def test_they_may_change_when_a_run_goes_on(run_copy, tiny_config):
  plain = tiny_config().to_dict() | {"xla_flags": {"xla_cpu_x": True}}
  workdir_lib.check_owner(
    run_copy, plain, free=resuming.FREE, conditions=resuming.CONDITIONS
  )
