"""What a run needs to go on, and what it makes up for: nothing is lost."""

import json
from typing import Any

import events
import pytest
import terminating

from van_jax import experiment
from van_jax.experiment import resuming
from van_jax.training import loop
from van_jax.training.run import kept, progress, workdir as workdir_lib

# Independent examples, and BatchNorm groups that no micro-batch cuts.
FREE_OF_BATCHES = {
  "model.drop_path_rate": 0.0,
  "model.batch_norm_group_size": 4,
}


@pytest.fixture
def goes_on(tiny_config, tmp_path):
  """Returns a function that says whether one config's run goes on as another.

  It returns what the refusal says, and "" when there is none.
  """

  def goes_on(there, here):
    workdir_lib.claim(tmp_path, tiny_config(**there).to_dict())
    try:
      workdir_lib.check_owner(
        tmp_path,
        tiny_config(**here).to_dict(),
        free=resuming.FREE,
        conditions=resuming.CONDITIONS,
      )
    except ValueError as error:
      return str(error)
    return ""

  return goes_on


@pytest.mark.parametrize(
  "changes",
  [
    {"model.remat": True},
    {"model.implementation": "auto"},
    {"compilation_cache": "/elsewhere"},
    {"data.directory": "/elsewhere"},
    {"pretrained_bundle": "/elsewhere"},
    {"logging.profile_steps": 3},
    {"logging.every_steps": 7},
  ],
)
def test_what_changes_only_memory_or_speed_is_free(goes_on, changes):
  assert goes_on({}, changes) == ""


def test_accumulation_is_free_where_the_result_is_the_same(goes_on):
  start = {**FREE_OF_BATCHES, "accumulation_steps": 1}
  assert goes_on(start, {**start, "accumulation_steps": 4}) == ""
  frozen = {"model.drop_path_rate": 0.0, "model.batch_norm_frozen": True}
  assert goes_on(frozen, {**frozen, "accumulation_steps": 4}) == ""


def test_a_group_as_large_as_the_micro_batch_was_is_the_same_run(goes_on):
  start = {"model.drop_path_rate": 0.0, "accumulation_steps": 4}
  same = {"model.drop_path_rate": 0.0, "model.batch_norm_group_size": 4}
  assert goes_on(start, same) == ""


@pytest.mark.parametrize(
  ("there", "reason"),
  [
    ({}, r"drop path and dropout draw anew"),
    (
      {"model.drop_path_rate": 0.0},
      "BatchNorm had groups of 16 images and would have 8; with "
      "model.batch_norm_group_size=16 they would stay",
    ),
    ({**FREE_OF_BATCHES, "task.name": "mine:task"}, "not van_jax's own"),
  ],
)
def test_other_micro_batches_are_refused_with_reason(goes_on, there, reason):
  refusal = goes_on(there, {**there, "accumulation_steps": 2})
  assert "accumulation_steps is 1 there, 2 here" in refusal
  assert reason in refusal


def test_a_refusal_names_the_ways_out(goes_on, tmp_path):
  refusal = goes_on({}, {"batch_size": 32})
  assert "batch_size is 16 there, 32 here" in refusal
  assert f"--init_from={tmp_path} with another --workdir" in refusal
  assert "--start_over" in refusal


def test_a_constant_schedule_can_be_made_longer(goes_on):
  start = {"schedule.name": "constant"}
  assert goes_on(start, {**start, "schedule.epochs": 5.0}) == ""


def test_another_schedule_cannot_be_made_longer(goes_on):
  refusal = goes_on({}, {"schedule.epochs": 5.0})
  assert "schedule.epochs is 2.0 there, 5.0 here" in refusal
  assert "only a constant one can be extended" in refusal


def test_a_finished_run_scores_the_same_again_though_its_bundle_has_moved(
  finished, run_copy, tiny_config, tmp_path
):
  gone = str(tmp_path / "gone")
  path = run_copy / workdir_lib.CONFIG
  checksum = run_copy / workdir_lib.CHECKPOINTS / "12/fingerprint/metadata"
  before = checksum.read_text()
  described = json.loads(path.read_text())
  path.write_text(json.dumps({**described, "pretrained_bundle": gone}))
  config = tiny_config(pretrained_bundle=gone)
  assert experiment.train(config, workdir=str(run_copy)) == finished[1]
  assert checksum.read_text() == before


@pytest.fixture(scope="module")
def stopped_at_an_evaluation(tiny_config, tmp_path_factory):
  """Returns a run that SIGTERM met at the evaluation of step 6, and resumed.

  With the scores that it returned at last.
  """
  workdir = tmp_path_factory.mktemp("stopped") / "run"
  config = tiny_config(**{"checkpoint.keep_last": 9})
  report = progress.Progress.report

  def report_and_stop(self, step):
    if step == 5:
      terminating.terminate()
    return report(self, step)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(progress.Progress, "report", report_and_stop)
    with pytest.raises(loop.InterruptedRunError, match="step 6; state saved"):
      experiment.train(config, workdir=str(workdir))
  folder = workdir / workdir_lib.CHECKPOINTS
  assert kept.steps(folder) == [2, 4, 6]
  assert not (folder / "6" / "metrics").exists()
  return workdir, experiment.train(config, workdir=str(workdir))


def test_an_evaluation_that_sigterm_skipped_is_made_up(
  finished, stopped_at_an_evaluation
):
  (ours, our_scores), (theirs, scores) = stopped_at_an_evaluation, finished
  assert our_scores == scores
  evaluations = events.read(theirs, "eval/")
  assert {step for _, step in evaluations} == {6, 12}
  assert events.read(ours, "eval/") == evaluations
  assert events.read(ours, "train/") == events.read(theirs, "train/")


def test_its_checkpoint_has_the_scores_and_can_be_the_best(
  stopped_at_an_evaluation,
):
  folder = stopped_at_an_evaluation[0] / workdir_lib.CHECKPOINTS
  saved: dict[int, Any] = {
    step: json.loads((folder / str(step) / "metrics/metrics").read_text())
    for step in (6, 12)
  }
  losses = {step: scores["loss"] for step, scores in saved.items()}
  best = kept.best_step(folder, best="loss", best_mode="min")
  assert best == min(losses, key=lambda step: losses[step])
  worst = kept.best_step(folder, best="loss", best_mode="max")
  assert {best, worst} == {6, 12}
