"""Where a run's time went, over processes that were killed."""

import json
import shutil

import pytest

from van_jax import storage
from van_jax.training.run import goodput, phases as phases_lib


class Process:
  """A process of a run: its own clock, and the one on the wall."""

  wall = 1e9

  def __init__(self, workdir, first_step):
    self.now = 0.0
    self.phases = phases_lib.Phases(lambda: self.now)
    self.goodput = goodput.Goodput(
      workdir,
      self.phases,
      first_step=first_step,
      wall=lambda: Process.wall,
    )

  def spend(self, phase, seconds):
    """Lets time pass in a phase."""
    with self.phases.phase(phase):
      self.now += seconds
      Process.wall += seconds

  def steps(self, numbers):
    """Takes a second a step, and notes them."""
    for step in numbers:
      self.spend("step", 1)
      self.goodput.report(step)


@pytest.fixture
def first(tmp_path):
  """Returns a process that saved step 4 and was killed after step 7."""
  Process.wall = 1e9
  process = Process(tmp_path, 0)
  process.spend("compile", 10)
  process.steps(range(1, 5))
  process.spend("save", 2)
  process.goodput.note(4, saved=True)
  process.steps(range(5, 8))
  return process


def test_shares_add_up_to_all_time(first):
  row = first.goodput.report(7)
  names = [name.replace("-", "_") for name in (*phases_lib.NAMES, "restart")]
  assert sum(row[f"goodput/{n}"] for n in names) == pytest.approx(1)
  assert row["goodput/seconds"] == 19
  assert row["goodput/step"] == 7 / 19
  assert row["goodput/restart"] == 0


def test_steps_that_are_done_again_and_dead_time_are_the_restarts(
  first, tmp_path
):
  Process.wall += 100
  second = Process(tmp_path, 4)
  seconds = second.goodput.seconds()
  assert seconds["restart"] == 103
  assert seconds["step"] == 4
  assert seconds["compile"] == 10
  row = second.goodput.report(4)
  assert row["goodput/steps_recomputed"] == 3
  assert row["goodput/runs"] == 2


def test_a_second_kill_adds_to_the_first(first, tmp_path):
  second = Process(tmp_path, 4)
  second.steps([5, 6])
  third = Process(tmp_path, 4)
  assert third.goodput.seconds()["step"] == 4
  assert third.goodput.seconds()["restart"] == 5
  assert third.goodput.report(4)["goodput/steps_recomputed"] == 5


def test_a_run_that_stopped_on_request_has_nothing_done_twice(first, tmp_path):
  first.goodput.note(7, saved=True)
  second = Process(tmp_path, 7)
  assert second.goodput.report(7)["goodput/steps_recomputed"] == 0
  assert second.goodput.seconds()["step"] == 7


def test_a_clock_that_was_set_back_is_no_time(first, tmp_path):
  Process.wall -= 5000
  second = Process(tmp_path, 4)
  assert second.goodput.seconds()["restart"] == 3


def test_without_any_checkpoint_all_steps_are_done_again(first, tmp_path):
  second = Process(tmp_path, 0)
  assert second.goodput.seconds()["step"] == 0
  assert second.goodput.report(0)["goodput/steps_recomputed"] == 7


@pytest.mark.parametrize(
  "content", ["", "{}", "[1]", '{"runs": "x"}', '{"runs": 1, "saved": 3}']
)
def test_a_damaged_account_is_begun_anew(tmp_path, content):
  (tmp_path / goodput.NAME).write_text(content)
  process = Process(tmp_path, 4)
  assert process.goodput.report(4)["goodput/runs"] == 1
  assert json.loads((tmp_path / goodput.NAME).read_text())["step"] == 4


def test_a_full_disk_is_no_reason_to_stop(first, tmp_path, monkeypatch):
  def refuse(path, text):
    raise OSError(28, "No space left on device")

  kind = type(storage.absolute(tmp_path))
  monkeypatch.setattr(kind, "write_text", refuse)
  assert first.goodput.report(8)["goodput/seconds"] == 19


def test_a_folder_that_was_removed_is_not_made_again(first, tmp_path):
  shutil.rmtree(tmp_path)
  first.goodput.report(8)
  assert not tmp_path.exists()


def test_the_last_line_says_where_time_went(first, caplog):
  caplog.set_level("INFO", logger="absl")
  first.goodput.log()
  assert "Goodput: 36.8 % of 0m19s in steps; compile 52.6 %, save 10.5 %" in (
    caplog.text
  )
