"""The loop, with fakes: what happens when, and what never does."""

import dataclasses
import itertools
import math
from typing import Any

import pytest

from van_jax.training import loop
from van_jax.training.run import phases as phases_lib, progress


@dataclasses.dataclass
class _FakeState:
  """Stands for a TrainState: only its step is looked at."""

  step: int


FakeState: Any = _FakeState  # So that the loop takes it for a TrainState.


class Journal:
  """Runs the loop with fakes, and writes down all that it does."""

  def __init__(self):
    self.events = []
    self.losses = {}  # Step: loss, where it is not 1.
    self.stop_at = None
    self.stop_in_evaluation = False
    self.phases = phases_lib.Phases()

  def train_step(self, state, batch):
    """Counts a step, with the loss that was asked for."""
    step = state.step + 1
    self.events.append(("train", step, batch))
    return FakeState(step), {"loss": self.losses.get(step, 1.0), "top1": 0.5}

  def evaluate(self, state):
    """Returns scores that tell the step, unless asked to stop meanwhile."""
    self.events.append(("evaluate", state.step))
    if self.stop_in_evaluation:
      raise loop.InterruptedRunError(state.step)
    return {"top1": state.step / 100}

  def add_scores(self, step, scores):
    """Stands for what gives a checkpoint its scores."""
    self.events.append(("add", step, scores))

  def run(
    self,
    *,
    start=0,
    total=10,
    log=100,
    evaluate=100,
    save=100,
    unscored=False,
  ):
    """Runs the loop, by default without anything due before the end."""
    return loop.run(
      FakeState(start),
      total_steps=total,
      train_step=self.train_step,
      batches=itertools.count(start + 1),
      write=lambda step, scalars: self.events.append(("write", step, scalars)),
      evaluate=self.evaluate,
      save=lambda step, state, scores: self.events.append(
        ("save", step, state.step, scores)
      ),
      interrupted=lambda: self.steps("train")[-1] == self.stop_at,
      observe=lambda step: self.events.append(("observe", step)),
      phases=self.phases,
      progress=progress.Progress(
        first_step=start, total_steps=total, batch_size=4, phases=self.phases
      ),
      account=lambda step: {"goodput/steps": step},
      add_scores=self.add_scores if unscored else None,
      log_every_steps=log,
      eval_every_steps=evaluate,
      save_every_steps=save,
    )

  def steps(self, kind):
    """Returns the steps at which something was done."""
    return [event[1] for event in self.events if event[0] == kind]


@pytest.fixture
def journal():
  return Journal()


def test_steps_count_from_one_to_the_total(journal):
  state, _ = journal.run(total=4)
  assert journal.steps("train") == [1, 2, 3, 4]
  assert state.step == 4


def test_each_step_gets_its_own_batch(journal):
  journal.run(start=2, total=5)
  trained = [event for event in journal.events if event[0] == "train"]
  assert trained == [("train", 3, 3), ("train", 4, 4), ("train", 5, 5)]


def test_each_step_is_observed_before_it_starts(journal):
  journal.run(total=2)
  kinds = [event[:2] for event in journal.events if event[0] != "write"]
  assert kinds[:4] == [
    ("observe", 1),
    ("train", 1),
    ("observe", 2),
    ("train", 2),
  ]


@pytest.mark.parametrize("kind", ["evaluate", "save"])
def test_due_at_every_nth_step_and_at_the_end(journal, kind):
  journal.run(total=7, **{kind: 3})
  assert journal.steps(kind) == [3, 6, 7]


def test_logged_at_every_nth_step_and_at_the_end(journal):
  journal.run(total=7, log=3)
  logged = [
    event[1]
    for event in journal.events
    if event[0] == "write" and "train/loss" in event[2]
  ]
  assert logged == [3, 6, 7]


def test_evaluates_then_saves_with_those_scores(journal):
  journal.run(total=4, evaluate=2, save=2)
  about_two = [e for e in journal.events if e[1] == 2 and e[0] != "observe"]
  assert about_two == [
    ("train", 2, 2),
    ("evaluate", 2),
    ("write", 2, {"eval/top1": 0.02}),
    ("save", 2, 2, {"top1": 0.02}),
  ]


def test_saves_without_scores_between_evaluations(journal):
  journal.run(total=4, evaluate=4, save=2)
  saves = [event for event in journal.events if event[0] == "save"]
  assert saves == [("save", 2, 2, None), ("save", 4, 4, {"top1": 0.04})]


def test_returns_the_scores_of_the_last_step(journal):
  _, scores = journal.run(total=3)
  assert scores == {"top1": 0.03}


def test_nothing_left_to_do_does_nothing(journal):
  state, scores = journal.run(start=5, total=5)
  assert (state.step, scores) == (5, None)
  assert journal.events == []


def test_an_evaluation_that_was_skipped_is_made_up_first(journal):
  journal.run(start=4, total=6, evaluate=4, save=2, unscored=True)
  assert journal.events[:4] == [
    ("evaluate", 4),
    ("write", 4, {"eval/top1": 0.04}),
    ("add", 4, {"top1": 0.04}),
    ("observe", 5),
  ]


def test_only_a_checkpoint_that_was_due_gets_the_scores(journal):
  # As in the unbroken run, which has none of this step.
  journal.run(start=4, total=6, evaluate=4, save=3, unscored=True)
  assert journal.steps("evaluate") == [4, 6]
  assert journal.steps("add") == []


@pytest.mark.parametrize("start", [0, 3])
def test_nothing_is_made_up_where_nothing_was_due(journal, start):
  journal.run(start=start, total=6, evaluate=4, unscored=True)
  assert journal.steps("evaluate") == [4, 6]


def test_the_last_evaluation_is_made_up_too(journal):
  _, scores = journal.run(start=5, total=5, unscored=True)
  assert scores == {"top1": 0.05}
  assert journal.steps("add") == [5]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite_metric_stops_naming_step_and_metric(journal, value):
  journal.losses = {3: value}
  with pytest.raises(loop.NonFiniteError, match=rf"loss is {value} at step 3"):
    journal.run(save=1)


def test_nothing_is_saved_from_a_bad_step_on(journal):
  journal.losses = {3: math.nan}
  with pytest.raises(loop.NonFiniteError):
    journal.run(save=1)
  assert journal.steps("save") == [1, 2]


def test_bad_step_between_logs_stops_before_the_next_save(journal):
  journal.losses = {3: math.nan}  # And none after it: an isolated overflow.
  with pytest.raises(loop.NonFiniteError, match="at step 3"):
    journal.run(log=10, save=4)
  assert journal.steps("save") == []


def test_interruption_saves_then_raises(journal):
  journal.stop_at = 3
  with pytest.raises(loop.InterruptedRunError, match="step 3") as info:
    journal.run()
  assert info.value.step == 3
  assert journal.events[-1] == ("save", 3, 3, None)


def test_interruption_does_not_wait_for_an_evaluation(journal):
  journal.stop_at = 3
  with pytest.raises(loop.InterruptedRunError):
    journal.run(evaluate=3)
  assert journal.steps("evaluate") == []


def test_interruption_of_an_evaluation_saves_its_step_without_scores(journal):
  journal.stop_in_evaluation = True
  with pytest.raises(loop.InterruptedRunError, match="step 3"):
    journal.run(evaluate=3)
  assert journal.events[-2:] == [("evaluate", 3), ("save", 3, 3, None)]


def test_interruption_of_one_that_is_made_up_saves_nothing_again(journal):
  journal.stop_in_evaluation = True
  with pytest.raises(loop.InterruptedRunError, match="step 4"):
    journal.run(start=4, total=6, evaluate=4, save=2, unscored=True)
  assert journal.events == [("evaluate", 4)]


def test_where_time_went_is_written_with_the_metrics(journal):
  journal.run(total=4, log=2)
  rows = {e[1]: e[2] for e in journal.events if e[0] == "write" and e[1] < 4}
  assert rows[2]["goodput/steps"] == 2


def test_interruption_does_not_save_a_bad_step(journal):
  journal.stop_at = 3
  journal.losses = {3: math.nan}
  with pytest.raises(loop.NonFiniteError):
    journal.run()
  assert journal.steps("save") == []


def test_saving_counts_as_a_pause_like_evaluating():
  now = [0.0]
  phases = phases_lib.Phases(lambda: now[0])
  meter = progress.Progress(
    first_step=0, total_steps=2, batch_size=4, phases=phases
  )
  speeds = []

  def spend(seconds, result=None):
    now[0] += seconds
    return result

  with phases.phase(phases_lib.STEP):
    loop.run(
      FakeState(0),
      total_steps=2,
      train_step=lambda s, b: spend(1, (FakeState(s.step + 1), {})),
      batches=itertools.count(),
      write=lambda step, scalars: speeds.append(
        scalars.get("progress/images_per_second")
      ),
      evaluate=lambda state: spend(50, {}),
      save=lambda step, state, scores: spend(30),
      interrupted=lambda: False,
      observe=lambda step: None,
      phases=phases,
      progress=meter,
      account=lambda step: {},
      log_every_steps=1,
      eval_every_steps=1,
      save_every_steps=1,
    )
  # 4 images in each second of training; writes of scores have no speed.
  assert speeds == [4.0, None, 4.0, None]


def test_each_step_is_followed_before_its_metrics_are_waited_for(
  journal, monkeypatch
):
  monkeypatch.setattr(
    progress.Progress,
    "follow",
    lambda self, metrics: journal.events.append(("follow", metrics["loss"])),
  )
  journal.losses = {1: 10.0, 2: math.nan}
  with pytest.raises(loop.NonFiniteError):
    journal.run(total=2)
  kinds = [event[0] for event in journal.events if event[0] != "observe"]
  assert kinds == ["train", "follow", "train", "follow"]
