"""A new run that starts from another run's state."""

import json
import shutil
from typing import Any

import jax
import numpy as np
import optax
import pytest

from van_jax import errors, experiment, parallel
from van_jax.experiment import branching, parts, recipe_task, start
from van_jax.training.run import restoring

CONSTANT = {
  "schedule.name": "constant",
  "schedule.epochs": 1 / 3,  # Two steps.
  "schedule.warmup_epochs": 0.0,
}


@pytest.fixture
def branch(tiny_config, tmp_path):
  """Returns a function that makes the first state of a branch."""

  class Source:
    num_train = 100

  def branch(given, **changes):
    config = tiny_config(**{**CONSTANT, **changes})
    task = recipe_task.create_task(config)
    origin = branching.find(
      given, tmp_path / "new", task=task, start_over=False
    )
    mesh = parallel.create_mesh()
    source: Any = Source()
    recipe = parts.recipe(config, source)
    like = start.abstract_state(config, recipe, mesh)
    return start.first_state(config, recipe, mesh, origin), like

  return branch


def test_all_processes_branch_off_at_the_first_ones_step(
  monkeypatch, tiny_config, tmp_path
):
  # The other run has saved once more when this process looks.
  config = tiny_config()
  task = recipe_task.create_task(config)
  monkeypatch.setattr(branching.old_configs, "read", lambda workdir: config)
  monkeypatch.setattr(branching.weights, "step_number", lambda *_: 12)
  monkeypatch.setattr(branching.processes, "broadcast", lambda name, mine: "8")
  origin = branching.find("other", tmp_path, task=task, start_over=False)
  assert origin is not None
  assert origin.step == 8


def counts(opt_state, kind):
  """Returns the counts of an optimizer's states of one kind."""
  leaves = jax.tree.leaves(opt_state, is_leaf=lambda x: isinstance(x, kind))
  return [int(x.count) for x in leaves if isinstance(x, kind)]


@pytest.mark.parametrize(
  ("suffix", "step"), [("", 12), (":8", 8), (":best", 12)]
)
def test_a_branch_has_weights_moments_and_averages_of_the_step(
  finished, branch, suffix, step
):
  state, like = branch(f"{finished[0]}{suffix}")
  there = restoring.restore(finished[0] / "checkpoints", step, like)
  for part in ("params", "batch_stats", "ema"):
    jax.tree.map(
      np.testing.assert_array_equal, getattr(state, part), getattr(there, part)
    )
  moments = jax.tree.leaves(state.opt_state)
  theirs = jax.tree.leaves(there.opt_state)
  same = [np.array_equal(a, b) for a, b in zip(moments, theirs, strict=True)]
  assert same.count(False) == 1  # The count of the schedule.


def test_a_branch_begins_its_schedule_anew_and_not_its_moments(
  finished, branch
):
  state, _ = branch(str(finished[0]))
  assert int(state.step) == 0
  assert counts(state.opt_state, optax.ScaleByScheduleState) == [0]
  assert counts(state.opt_state, optax.ScaleByAdamState) == [12]


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"optimizer.name": "lion"}, "its optimizer is adamw, .* is lion"),
    ({"ema.decay": None}, "ema.decay is 0.9, .* is None"),
    ({"model.widths": (8, 8, 16, 24)}, r"checkpoint \(16,\), config \(24"),
  ],
)
def test_another_recipe_is_refused_in_a_line(
  finished, branch, changes, message
):
  with pytest.raises(ValueError, match=message) as info:
    branch(str(finished[0]), **changes)
  assert "config.pretrained_bundle" in str(info.value)
  assert "\n" not in str(info.value)


def test_a_word_that_is_no_step_is_named(finished, branch):
  with pytest.raises(errors.UserError, match="'bst' must be latest, best"):
    branch(f"{finished[0]}:bst")


def test_a_step_that_is_not_there_is_named(finished, branch):
  with pytest.raises(restoring.CheckpointError, match=r"\[8, 10, 12\]"):
    branch(f"{finished[0]}:7")


@pytest.fixture(scope="module")
def branched(finished, tiny_config, tmp_path_factory):
  """Returns a branch whose origin is gone, its config, flag and scores."""
  folder = tmp_path_factory.mktemp("branch")
  old = shutil.copytree(finished[0], folder / "old")
  config, given = tiny_config(**CONSTANT), f"{old}:best"
  scores = experiment.train(
    config, workdir=str(folder / "new"), init_from=given
  )
  shutil.rmtree(old)
  return folder / "new", config, given, scores


def test_the_workdir_says_where_it_came_from(branched):
  workdir, _, given, _ = branched
  origin = json.loads((workdir / "origin.json").read_text())
  assert origin["given"] == given
  assert origin["step"] == 12


@pytest.mark.parametrize("again", [True, False])
def test_a_branch_goes_on_without_the_run_it_came_from(branched, again):
  workdir, config, given, scores = branched
  flag = {"init_from": given} if again else {}
  assert experiment.train(config, workdir=str(workdir), **flag) == scores


def test_a_run_that_is_there_does_not_begin_elsewhere(branched, finished):
  workdir, config, given, _ = branched
  with pytest.raises(ValueError, match=f"began from {given}; leave --init_f"):
    experiment.train(config, workdir=str(workdir), init_from=str(finished[0]))


def test_averages_of_a_branch_are_not_warmed_up_again(branched, finished):
  # A first decay of 2/11 would leave 0.2 of the averages, 0.9 leaves most.
  workdir = branched[0]
  averaged, raw = (
    experiment.load_weights(workdir, averaged=x).variables["params"]
    for x in (True, False)
  )
  before = experiment.load_weights(finished[0]).variables["params"]
  name = ("head", "kernel")

  def distance(a, b):
    return float(np.linalg.norm(a[name[0]][name[1]] - b[name[0]][name[1]]))

  assert distance(averaged, before) < distance(averaged, raw)
