"""Two processes train and score what one does."""

import json
from typing import Any

import jax
import numpy as np
import pytest
from flax import traverse_util

import van_jax
from van_jax import experiment, parallel

SHORT = {
  # Few steps: AdamW divides by small numbers, and rounding would grow.
  "schedule.epochs": 0.5,
  "schedule.warmup_epochs": 0.0,
  # A batch is the same set of examples in another order: what depends on an
  # example's place in it, its mixing partner or its dropped paths, must be off.
  "mixing.mixup_alpha": 0.0,
  "model.drop_path_rate": 0.0,
}


@pytest.fixture(scope="module")
def alone(tiny_config, tmp_path_factory):
  """Returns the workdir and the scores of one process with one device."""
  workdir = tmp_path_factory.mktemp("alone") / "run"
  one = parallel.create_mesh(jax.devices()[:1])
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(parallel, "create_mesh", lambda *_, **__: one)
    return workdir, experiment.train(tiny_config(**SHORT), workdir=str(workdir))


@pytest.fixture(scope="module")
def together(run_two, tmp_path_factory):
  """Returns the workdir and what the two processes said."""
  workdir = tmp_path_factory.mktemp("together") / "run"
  flags = [f"--config.{key}={value}" for key, value in SHORT.items()]
  return workdir, run_two("train.py", f"--workdir={workdir}", *flags)


def scores_of(together):
  """Returns the JSON of the first process's last line."""
  return json.loads(together[1][0][0].splitlines()[-1])  # Gloo prints too.


def test_only_the_first_process_prints_the_scores(together):
  (first, _), (second, _) = together[1]
  assert "top1" in first
  assert "top1" not in second


def test_each_example_is_scored_once(together):
  assert scores_of(together)["count"] == 42


def test_two_processes_score_what_one_does(alone, together):
  # Three updates' rounding; an example counted twice would show in 1 / 42.
  loss = scores_of(together)["loss"]
  assert loss == pytest.approx(alone[1]["loss"], rel=1e-4)


def test_two_processes_learn_what_one_does(alone, together):
  ours: dict[str, Any]
  theirs: dict[str, Any]
  ours, theirs = (
    traverse_util.flatten_dict(
      van_jax.load_bundle(workdir / "bundle").variables, sep="/"
    )
    for workdir in (together[0], alone[0])
  )
  for name in theirs:
    # AdamW's first updates are learning rate x sign: a gradient near 0 may
    # turn its sign by rounding, hence most entries, and not all. Biases before
    # a BatchNorm have no gradient but rounding, and move the running means.
    if name.endswith(("/kernel", "/var")):
      close = np.isclose(ours[name], theirs[name], rtol=1e-3, atol=1e-4)
      assert close.mean() > 0.95, name


@pytest.mark.parametrize("who", ["alone", "together"])
def test_biases_without_gradient_move_by_rate_times_steps_at_most(who, request):
  # What follows them is a BatchNorm, which takes them off again: their true
  # gradient is zero. What is computed is rounding, another in each order of
  # sums; AdamW's step is the rate times its sign, and theirs has no decay.
  workdir = request.getfixturevalue(who)[0]
  config = json.loads((workdir / "config.json").read_text())
  rate, steps = config["schedule"]["learning_rate"], 3
  flat: dict[str, Any] = traverse_util.flatten_dict(
    van_jax.load_bundle(workdir / "bundle").variables, sep="/"
  )
  biases = [name for name in flat if name.endswith("/proj/bias")]
  assert len(biases) == 4  # Of the patch embeddings.
  for name in biases:
    # In so few steps the quotient of AdamW's moments is at most 1.01.
    assert np.abs(flat[name]).max() <= 1.01 * rate * steps, name
