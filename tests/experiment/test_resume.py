"""A run that dies and is started again is the run that never died.

Bit for bit: the state with its averages, every training metric of every step,
and the scores. Each process here is one that a user could have started.
"""

import json
import pathlib

import events
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from van_jax.training.run import kept

HERE = pathlib.Path(__file__).parent
DYING = HERE / "dying.py"
TOTAL_STEPS = 12
SIGKILL = -9


@pytest.fixture(scope="module")
def unbroken(run, last_json, tmp_path_factory):
  """Returns the workdir and the scores of a run that nothing befalls."""
  workdir = tmp_path_factory.mktemp("unbroken") / "run"
  return workdir, last_json(run("train.py", f"--workdir={workdir}"))


@pytest.fixture(scope="module")
def killed(run, last_json, tmp_path_factory):
  """Returns the same of one killed three times, and what was left each time."""
  workdir = tmp_path_factory.mktemp("killed") / "run"
  left = []
  for point in (
    "kill-after-step=1",  # Before the first checkpoint.
    "kill-while-writing=4",
    "kill-after-step=7",  # Between the checkpoints 6 and 8.
  ):
    process = run(f"{DYING} {point}", f"--workdir={workdir}")
    assert process.returncode == SIGKILL, process.stderr
    folder = workdir / "checkpoints"
    names = [path.name for path in folder.iterdir()]
    left.append((kept.steps(folder), names))
  return workdir, last_json(run("train.py", f"--workdir={workdir}")), left


@pytest.fixture(scope="module")
def terminated(run, last_json, tmp_path_factory):
  """Returns the same of one asked to stop, and how it stopped."""
  workdir = tmp_path_factory.mktemp("terminated") / "run"
  process = run(f"{DYING} terminate-after-step=4", f"--workdir={workdir}")
  steps = kept.steps(workdir / "checkpoints")
  scores = last_json(run("train.py", f"--workdir={workdir}"))
  return workdir, scores, (process, steps)


@pytest.fixture(params=["killed", "terminated"])
def broken(request):
  """Returns the one run and the other."""
  return request.getfixturevalue(request.param)


def last_checkpoint(workdir):
  """Returns the arrays of the last checkpoint, and its checksum."""
  folder = workdir / "checkpoints" / str(TOTAL_STEPS)
  with ocp.StandardCheckpointer() as reader:
    state = reader.restore(folder / "state")
  return state, json.loads((folder / "fingerprint" / "metadata").read_text())


def test_kills_come_where_they_should(killed):
  *_, left = killed
  first, second, third = left
  assert first[0] == []
  assert second[0] == [2]
  assert any(name.startswith("4.") for name in second[1])  # Unfinished.
  assert third[0] in ([2, 4], [2, 4, 6])  # 6 may still be in the making.


def test_the_last_state_is_the_same_bit_for_bit(unbroken, broken):
  ours, our_sum = last_checkpoint(broken[0])
  theirs, their_sum = last_checkpoint(unbroken[0])
  assert set(ours) >= {"step", "params", "batch_stats", "opt_state", "ema"}
  assert jax.tree.structure(ours) == jax.tree.structure(theirs)
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)
  assert our_sum == their_sum


def test_the_metrics_of_every_step_are_the_same_bit_for_bit(unbroken, broken):
  ours = events.read(broken[0], "train/")
  theirs = events.read(unbroken[0], "train/")
  steps = {step for name, step in theirs if name == "train/loss"}
  assert steps == set(range(1, TOTAL_STEPS + 1))
  assert ours == theirs  # Also where a step was done twice.


def test_the_scores_are_the_same(unbroken, broken):
  assert broken[1] == unbroken[1]


def test_sigterm_saves_the_step_it_came_in_and_exits_with_75(terminated):
  process, steps = terminated[2]
  assert process.returncode == 75, process.stderr
  # Asked to stop when step 4 was being logged: seen after step 5, which has
  # no checkpoint otherwise.
  assert steps == [2, 4, 5]
  assert "the same command goes on from there" in process.stderr
  assert process.stdout == ""
