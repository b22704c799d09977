"""A run's mesh: as the config says, and what cannot be is refused in a line."""

from typing import Any

import jax
import pytest

import van_jax
from van_jax import errors, experiment, parallel
from van_jax.evaluation import evaluator
from van_jax.experiment import (
  config_check,
  old_configs,
  resuming,
  scoring,
  section_table,
)

FEW = {
  "schedule.epochs": 0.5,  # Three steps.
  "schedule.warmup_epochs": 0.0,
  "mixing.mixup_alpha": 0.0,
  "model.drop_path_rate": 0.0,
  "model.widths": (8, 8, 16, 128),  # The head's stage has arrays to split.
  "optimizer.name": "sgd",
}


def test_a_run_with_a_split_state_leaves_whole_weights(
  tiny_config, tmp_path, monkeypatch
):
  config = tiny_config(**FEW, **{"mesh.fsdp": 4})
  scores = experiment.train(config, workdir=str(tmp_path))
  variables = van_jax.load_bundle(tmp_path / "bundle").variables
  params: Any = variables["params"]
  assert params["block4_0"]["mlp"]["fc1"]["kernel"].shape == (1, 1, 128, 256)
  # Scored by itself, the weights lie as they did in the run's own evaluation.
  held, usual = [], evaluator.evaluate

  def evaluate(step, variables, *arguments):
    held.append(parallel.shard_bytes(variables))
    return usual(step, variables, *arguments)

  monkeypatch.setattr(evaluator, "evaluate", evaluate)
  for where in (tmp_path, tmp_path / "bundle"):
    again = experiment.evaluate(config, checkpoint=str(where))
    assert again == pytest.approx(scores, rel=1e-5)
  mesh = parallel.create_mesh(fsdp=4)
  split = parallel.shard_bytes(parallel.with_shardings(variables, mesh))
  assert held == [split, split]
  assert split < sum(x.nbytes for x in jax.tree.leaves(variables))


@pytest.mark.parametrize(("given", "here"), [(1, 1), (4, 4), (16, 8), (3, 2)])
def test_weights_of_many_devices_are_scored_on_few(tiny_config, given, here):
  config = tiny_config(**{"mesh.fsdp": given})
  assert scoring.create_mesh(config).shape["fsdp"] == here  # Of 8.


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"mesh.fsdp": 16}, r"mesh.fsdp=16 must divide the 8 devices"),
    ({"mesh.fsdp": 8}, r"mesh.fsdp=8 splits nothing of this network"),
    ({"mesh.fsdp": 0}, r"config.mesh.fsdp=0 must be above 0"),
    ({"batch_size": 12}, r"batch_size=12 must be .* 8 devices"),
    ({"mesh.gradient_dtype": "float16"}, r"gradient_dtype='float16' must be"),
  ],
)
def test_a_mesh_that_does_not_suit_is_refused_before_the_workdir_is_made(
  tiny_config, tmp_path, changes, message
):
  with pytest.raises(errors.UserError, match=message):
    experiment.train(tiny_config(**changes), workdir=str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_a_run_of_before_sums_as_it_did_and_may_go_on_otherwise(tiny_config):
  config = tiny_config().to_dict()
  del config["mesh"]
  upgraded = old_configs.upgrade(config)
  assert upgraded["mesh"] == {"fsdp": 1, "gradient_dtype": "bfloat16"}
  assert {"mesh.fsdp", "mesh.gradient_dtype"} <= set(resuming.FREE)


def test_the_meshs_keys_are_checked(tiny_config):
  config = tiny_config().copy_and_resolve_references()
  config.unlock()
  config.mesh.tensor = 2
  assert "mesh" in section_table.PLAIN_KEYS
  with pytest.raises(errors.UserError, match="tensor"):
    config_check.check_config(config)
