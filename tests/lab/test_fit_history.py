"""The history of a fit, and its table."""

import sys

import numpy as np
import pytest

from van_jax import errors
from van_jax.lab.history import Recorder


@pytest.fixture
def history():
  recorder = Recorder()
  for step in (1, 2, 3, 4):
    recorder.write(step, {"train/loss": 1 / step})
  recorder.write(4, {"eval/top1": 0.5})
  return recorder.history(epoch_steps=4)


def test_each_metric_has_its_own_steps(history):
  steps, loss = history["train/loss"]
  np.testing.assert_array_equal(steps, [1, 2, 3, 4])
  np.testing.assert_allclose(loss, [1, 1 / 2, 1 / 3, 1 / 4])
  np.testing.assert_array_equal(history["eval/top1"].steps, [4])
  np.testing.assert_array_equal(
    history.epochs("train/loss"), [0.25, 0.5, 0.75, 1]
  )


def test_a_frame_has_a_row_a_step_and_gaps(history):
  pytest.importorskip("pandas")
  frame = history.frame()
  assert list(frame.columns) == ["epoch", "eval/top1", "train/loss"]
  assert frame.index.tolist() == [1, 2, 3, 4]
  assert frame["epoch"].tolist() == [0.25, 0.5, 0.75, 1]
  assert frame["eval/top1"].isna().tolist() == [True, True, True, False]


def test_a_frame_without_pandas_names_the_remedy(history, monkeypatch):
  monkeypatch.setitem(sys.modules, "pandas", None)
  with pytest.raises(
    errors.UserError, match=r'pip install "van_jax\[notebooks'
  ):
    history.frame()
