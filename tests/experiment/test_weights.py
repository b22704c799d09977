"""The weights of a run, for those who know nothing of how it was trained."""

import json

import jax
import numpy as np
import pytest

import van_jax
from van_jax import errors, experiment
from van_jax.experiment import score_split, weights
from van_jax.training.run import peers


def test_a_workdir_that_says_nothing_of_its_optimizer_has_weights(run_copy):
  path = run_copy / "config.json"
  config = json.loads(path.read_text())
  for section in ("optimizer", "schedule", "mixing", "ema"):
    del config[section]
  path.write_text(json.dumps(config))
  found = weights.load_weights(run_copy).variables
  exported = van_jax.load_bundle(run_copy / "bundle").variables
  jax.tree.map(np.testing.assert_array_equal, found, exported)


def test_a_field_that_contradicts_the_weights_is_refused(finished, tiny_config):
  workdir, scores = finished
  config = tiny_config().unlock()
  config.model.attention.dilation = 3  # As the weights have it.
  assert experiment.evaluate(config, checkpoint=str(workdir)) == scores
  config.model.attention.dilation = 2
  message = r"attention\.dilation 3 there, 2 here"
  with pytest.raises(ValueError, match=message):
    experiment.evaluate(config, checkpoint=str(workdir))


def test_step_of_a_bundle_is_refused(finished):
  message = r"step=best is of a training workdir, .*leave the step out"
  with pytest.raises(errors.UserError, match=message):
    experiment.load_weights(finished[0] / "bundle", step="best")


@pytest.mark.parametrize("size", [0, -1])
def test_batch_size_below_one_of_a_bundle_is_refused(finished, size):
  bundle = str(finished[0] / "bundle")
  with pytest.raises(errors.UserError, match=f"batch_size={size} must be"):
    experiment.evaluate(checkpoint=bundle, batch_size=size)


def test_a_peer_that_is_lost_while_scoring_is_one_line(finished, monkeypatch):
  def lose(*arguments, **options):
    raise jax.errors.JaxRuntimeError("UNAVAILABLE: Socket closed")

  monkeypatch.setattr(score_split, "evaluate", lose)
  monkeypatch.setattr(peers.processes, "several", lambda: True)
  with pytest.raises(errors.PeerError, match="the same command, started again"):
    experiment.evaluate(checkpoint=str(finished[0] / "bundle"))
