"""A run's history: a line a step, whatever is killed and resumed."""

import json
import math

import pytest

from van_jax import read_history
from van_jax.training.run import history


def test_train_and_evaluation_share_a_steps_line_and_have_steps_of_their_own(
  tmp_path,
):
  writer = history.HistoryWriter(tmp_path, last_step=0)
  for step in (1, 2, 3):
    writer.write(step, {"train/loss": step / 4})
  writer.write(3, {"eval/top1": math.nan})
  lines = (tmp_path / history.NAME).read_text().splitlines()
  assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
  steps, losses = read_history(tmp_path)["train/loss"]
  assert steps.tolist() == [1, 2, 3]
  assert losses.tolist() == [0.25, 0.5, 0.75]
  steps, top1 = read_history(tmp_path)["eval/top1"]
  assert steps.tolist() == [3]
  assert math.isnan(top1[0])


def test_no_step_is_twice_after_a_resume(tmp_path):
  writer = history.HistoryWriter(tmp_path, last_step=0)
  for step in (1, 2, 3):
    writer.write(step, {"train/loss": 1.0})
  with (tmp_path / history.NAME).open("a") as file:
    file.write('{"step": 4, "tra')  # As a kill leaves it.
  writer = history.HistoryWriter(tmp_path, last_step=2)
  writer.write(3, {"train/loss": 2.0})
  writer.flush()
  steps, losses = read_history(tmp_path)["train/loss"]
  assert steps.tolist() == [1, 2, 3]
  assert losses.tolist() == [1.0, 1.0, 2.0]


def test_a_folder_without_a_history_is_named(tmp_path):
  with pytest.raises(ValueError, match="workdir"):
    read_history(tmp_path)
