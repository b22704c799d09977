"""A run outlives storage that fails for a while: saves, restores, history."""

import errno
import os
import threading

import jax
import numpy as np
import on_two_processes as two
import orbax.checkpoint as ocp
import pytest
from absl import logging as absl_logging
from jax.sharding import Mesh

from van_jax import errors, retrying, storage
from van_jax.retrying import calls as retry_calls
from van_jax.training.run import attempts, checkpoint, history, kept, restoring

STUMBLED = ValueError("UNKNOWN: [OS error 5: EIO Input/output error]")


@pytest.fixture(autouse=True)
def warnings(monkeypatch):
  """Has nobody wait between two tries; returns the lines of the log."""
  lines = []
  monkeypatch.setattr(
    absl_logging, "warning", lambda text, *args: lines.append(text % args)
  )
  monkeypatch.setattr(retry_calls, "_FIRST_DELAY", 0.01)
  return lines


def mesh():
  return Mesh(np.array(jax.devices()).reshape(2, 4), ("data", "fsdp"))


def fail_writes(monkeypatch, times, error=STUMBLED):
  """Has TensorStore's last step of a save fail, in Orbax's thread."""
  usual = ocp.StandardCheckpointHandler.finalize
  threads = []

  def finalize(self, directory):
    threads.append(threading.current_thread())
    if len(threads) <= times:
      raise error
    usual(self, directory)

  monkeypatch.setattr(ocp.StandardCheckpointHandler, "finalize", finalize)
  return threads


def fail_reads(monkeypatch, times, error=STUMBLED):
  usual = ocp.StandardCheckpointHandler.restore
  calls = []

  def restore(self, *arguments, **options):
    calls.append(1)
    if len(calls) <= times:
      raise error
    return usual(self, *arguments, **options)

  monkeypatch.setattr(ocp.StandardCheckpointHandler, "restore", restore)
  return calls


def restored(folder, step):
  two.assert_is(restoring.restore(folder, step, two.abstract(mesh())), step)


@pytest.mark.parametrize("name", ["mkdir", "rename"])
def test_a_save_goes_on_over_a_file_system_that_fails_twice(
  tmp_path, monkeypatch, name
):
  usual, failed = getattr(os, name), []

  def fail(path, *arguments, **options):
    if "2" in os.path.basename(path) and len(failed) < 2:
      failed.append(path)
      raise OSError(errno.EIO, os.strerror(errno.EIO))
    return usual(path, *arguments, **options)

  with two.open_checkpoints(tmp_path) as checkpointer:
    checkpointer.save(1, two.make_state(1, mesh()))
    monkeypatch.setattr(os, name, fail)
    checkpointer.save(2, two.make_state(2, mesh()))
  assert len(failed) == 2
  assert kept.steps(tmp_path) == [1, 2]
  restored(tmp_path, 2)


def test_the_last_save_is_written_again_when_it_was_lost(
  tmp_path, monkeypatch, warnings
):
  threads = fail_writes(monkeypatch, times=2)
  with two.open_checkpoints(tmp_path) as checkpointer:
    checkpointer.save(1, two.make_state(1, mesh()), {"top1": 0.5})
  assert threads[0] is not threading.main_thread()
  assert len(threads) == 3
  assert any("EIO Input/output error" in line for line in warnings)
  restored(tmp_path, 1)


def test_the_next_save_takes_the_place_of_a_lost_one(
  tmp_path, monkeypatch, warnings
):
  fail_writes(monkeypatch, times=2)
  with two.open_checkpoints(tmp_path) as checkpointer:
    state = two.make_state(1, mesh())
    checkpointer.save(1, state)
    jax.tree.map(lambda x: x.delete(), state)  # Donated to a step.
    checkpointer.save(2, two.make_state(2, mesh()))
  assert kept.steps(tmp_path) == [2]
  assert any("that of step 2 takes its place" in line for line in warnings)
  restored(tmp_path, 2)


def test_a_save_that_fails_for_good_keeps_what_there_is(tmp_path, monkeypatch):
  with two.open_checkpoints(tmp_path) as checkpointer:
    checkpointer.save(1, two.make_state(1, mesh()))
  fail_writes(monkeypatch, times=10**6)
  # Not by the clock: a save that has no turn for a second fails of that.
  monkeypatch.setattr(retry_calls.Patience, "is_over", lambda self: True)
  with (  # noqa: PT012
    pytest.raises(retrying.StillFailingError, match="EIO") as raised,
    two.open_checkpoints(tmp_path) as checkpointer,
  ):
    checkpointer.save(2, two.make_state(2, mesh()))
    checkpointer.save(3, two.make_state(3, mesh()))
  assert isinstance(raised.value, checkpoint.CheckpointError)
  assert "are kept: steps [1]" in str(raised.value)
  monkeypatch.undo()
  restored(tmp_path, 1)


def test_a_peer_that_is_lost_in_a_save_is_no_full_disk(tmp_path, monkeypatch):
  """It would end with status 1, which nobody starts again."""
  fail_writes(monkeypatch, times=1, error=errors.PeerError("process 1 is gone"))
  with (
    pytest.raises(errors.PeerError, match="process 1 is gone"),
    two.open_checkpoints(tmp_path) as checkpointer,
  ):
    checkpointer.save(1, two.make_state(1, mesh()))


def test_others_are_waited_for_as_long_as_a_save_may_take(
  tmp_path, monkeypatch
):
  waits = []

  def gather(name, value, *, seconds):
    waits.append(seconds)
    return [value]

  monkeypatch.setattr(attempts.processes, "gather", gather)
  with two.open_checkpoints(tmp_path, save_seconds=60) as checkpointer:
    checkpointer.save(1, two.make_state(1, mesh()))
    checkpointer.save(2, two.make_state(2, mesh()))
  assert waits == [60, 60, 60]  # Two saves, and what was left of the first.


def test_a_restore_is_tried_again(tmp_path, monkeypatch, warnings):
  with two.open_checkpoints(tmp_path) as checkpointer:
    checkpointer.save(1, two.make_state(1, mesh()))
  calls = fail_reads(monkeypatch, times=2)
  with two.open_checkpoints(tmp_path) as checkpointer:
    found = checkpointer.restore_latest(two.abstract(mesh()))
  two.assert_is(found, 1)
  assert len(calls) == 3
  assert len([line for line in warnings if "trying again" in line]) == 2


def test_a_checkpoint_that_cannot_be_reached_is_not_damaged(
  tmp_path, monkeypatch
):
  """It would be set aside, and the run go on from an older one."""
  with two.open_checkpoints(tmp_path) as checkpointer:
    for step in (1, 2):
      checkpointer.save(step, two.make_state(step, mesh()))
  fail_reads(monkeypatch, times=10**6)
  with (
    pytest.raises(retrying.StillFailingError, match=r"Reading .*2 failed"),
    two.open_checkpoints(tmp_path, restore_seconds=0.1) as checkpointer,
  ):
    checkpointer.restore_latest(two.abstract(mesh()))
  assert kept.steps(tmp_path) == [1, 2]


def test_scores_that_cannot_be_reached_are_not_damaged(tmp_path, monkeypatch):
  """They would be set aside, and the best checkpoint be another."""
  with two.open_checkpoints(tmp_path) as checkpointer:
    checkpointer.save(1, two.make_state(1, mesh()), {"top1": 0.5})

  def stumble(path):
    raise OSError(errno.EIO, os.strerror(errno.EIO))

  monkeypatch.setattr(storage, "read_json", stumble)
  with pytest.raises(OSError, match="Input/output error"):
    two.open_checkpoints(tmp_path)
  assert sorted(path.name for path in tmp_path.iterdir()) == ["1"]


def test_the_history_is_whole_after_a_disk_that_stumbled(tmp_path, monkeypatch):
  writer = history.HistoryWriter(tmp_path, last_step=0)
  usual, failed = os.fsync, []

  def stumble(number):
    if len(failed) < 2:
      failed.append(number)
      raise OSError(errno.EIO, os.strerror(errno.EIO))
    usual(number)

  monkeypatch.setattr(os, "fsync", stumble)
  for step in (1, 2, 3):
    writer.write(step, {"loss": float(step)})
    writer.flush()
  assert len(failed) == 2
  series = history.read_history(tmp_path)["loss"]
  np.testing.assert_array_equal(series.steps, [1, 2, 3])
  np.testing.assert_array_equal(series.values, [1, 2, 3])
