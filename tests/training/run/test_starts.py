"""The record of a run's processes: what began, on what, and how it ended."""

import json
import pathlib

import jax
import pytest

from van_jax.training import loop
from van_jax.training.run import starts


def ticking():
  times = iter([100.0, 150.0])
  return lambda: next(times)


def test_a_process_that_does_all_steps_ends_without_a_reason(tmp_path):
  with starts.recorded(tmp_path, ticking()):
    (during,) = starts.read(tmp_path)
  (after,) = starts.read(tmp_path)
  assert "ended" not in during
  assert during["began"] == after["began"] == 100
  assert (after["ended"], after["why"]) == (150, "")
  assert after["devices"] == jax.device_count()
  assert after["versions"]["jax"] == jax.__version__


@pytest.mark.parametrize(
  ("error", "why"),
  [
    (
      loop.InterruptedRunError(7),
      "InterruptedRunError: stopped on request after step 7; state saved",
    ),
    (ValueError("one\ntwo"), "ValueError: one"),
    (KeyboardInterrupt(), "KeyboardInterrupt: KeyboardInterrupt()"),
  ],
)
def test_what_ended_a_process_is_said(tmp_path, error, why):
  with pytest.raises(type(error)), starts.recorded(tmp_path):
    raise error
  assert starts.read(tmp_path)[0]["why"] == why


def test_the_next_process_adds_its_own_line(tmp_path):
  for _ in range(2):
    with starts.recorded(tmp_path):
      pass
  assert len(starts.read(tmp_path)) == 2


def test_damaged_lines_are_left_out(tmp_path):
  assert starts.read(tmp_path) == []
  lines = ["[1]", '{"began": "x"}', "{", json.dumps({"began": 1.5}), "{}"]
  (tmp_path / starts.NAME).write_text("\n".join(lines))
  assert starts.read(tmp_path) == [{"began": 1.5}]


def test_a_folder_that_was_removed_is_not_made_anew(tmp_path):
  folder = tmp_path / "run"
  folder.mkdir()
  with starts.recorded(folder):
    for path in folder.iterdir():
      pathlib.Path(path).unlink()
    folder.rmdir()
  assert not folder.exists()
