"""A task of one file, tests/experiment/toy_regression.py, goes all the way."""

import json
import pathlib
import shutil
from typing import Any

import jax
import numpy as np
import pytest

import van_jax
from van_jax import experiment
from van_jax.training.run import kept

CHANGES = {
  "task.name": "toy_regression:create",
  "model.num_classes": 1,
  "schedule.epochs": 1.0,
  "evaluation.every_epochs": 1 / 3,
}


@pytest.fixture(scope="module")
def module_path():
  """Puts the folder of the task's file on the path, as PYTHONPATH does."""
  with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(pathlib.Path(__file__).parent))
    yield


@pytest.fixture(scope="module")
def regression(module_path, tiny_config, tmp_path_factory):
  """Returns the workdir, the config and the scores of a run of six steps."""
  config = tiny_config(**CHANGES).unlock()
  config.task.options.scale = 0.1
  workdir = tmp_path_factory.mktemp("regression") / "run"
  return workdir, config, experiment.train(config, workdir=str(workdir))


def test_its_scores_are_the_tasks_own(regression):
  _, _, scores = regression
  assert set(scores) == {"rmse", "count"}
  assert scores["count"] == 42
  assert 0 < scores["rmse"] < 2  # Numbers up to 0.9.


def test_its_bundle_scores_what_the_run_did(regression):
  workdir, config, scores = regression
  again = experiment.evaluate(config, checkpoint=str(workdir / "bundle"))
  assert again == scores


def test_its_bundle_has_the_score_and_no_names_of_classes(regression):
  workdir, _, scores = regression
  bundle = van_jax.load_bundle(workdir / "bundle")
  assert bundle.labels is None
  assert bundle.source["rmse"] == scores["rmse"]
  assert bundle.model.num_classes == 1


def test_its_best_checkpoint_is_the_one_with_the_least_error(regression):
  workdir, config, _ = regression
  folder = workdir / "checkpoints"
  saved: dict[int, Any] = {
    step: json.loads((folder / str(step) / "metrics" / "metrics").read_text())
    for step in kept.steps(folder)
  }
  assert len({scores["rmse"] for scores in saved.values()}) == 3
  best = min(saved, key=lambda step: saved[step]["rmse"])
  assert kept.best_step(folder, best="rmse", best_mode="min") == best
  scores = experiment.evaluate(config, checkpoint=str(workdir), step="best")
  assert scores == saved[best]


def test_it_resumes_bit_for_bit(regression, tmp_path):
  workdir, config, scores = regression
  copy = shutil.copytree(workdir, tmp_path / "run")
  for step in (4, 6):
    shutil.rmtree(copy / "checkpoints" / str(step))
  shutil.rmtree(copy / "bundle")
  assert experiment.train(config, workdir=str(copy)) == scores
  one, other = (
    van_jax.load_bundle(folder / "bundle").variables
    for folder in (workdir, copy)
  )
  jax.tree.map(np.testing.assert_array_equal, one, other)


def test_its_options_are_its_own_keywords(module_path, tiny_config, tmp_path):
  config = tiny_config(**CHANGES).unlock()
  config.task.options.scal = 0.1
  with pytest.raises(ValueError, match=r"task\.options\.scal .*mean scale\?"):
    experiment.train(config, workdir=str(tmp_path / "run"))


def test_it_has_no_preview_of_classes(module_path, tiny_config, tmp_path):
  with pytest.raises(ValueError, match=r"toy_regression:create.* of classes"):
    experiment.draw_preview(
      tiny_config(**CHANGES), output=str(tmp_path / "x.png")
    )


def test_a_task_that_is_none_is_named_with_those_there_are(tiny_config):
  with pytest.raises(ValueError, match=r"task.name='clasification' .*there"):
    experiment.train(
      tiny_config(**{"task.name": "clasification"}), workdir="unused"
    )


def test_the_config_is_kept_with_the_task(regression):
  workdir, _, _ = regression
  kept = json.loads((workdir / "config.json").read_text())["task"]
  assert kept == {"name": "toy_regression:create", "options": {"scale": 0.1}}
