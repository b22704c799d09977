"""One run at a time in a workdir."""

import errno
import os
import shutil
import time
import types

import pytest

from van_jax import errors, retrying, storage
from van_jax.training.run import lock


def test_a_second_run_is_refused_naming_the_first(tmp_path):
  with (
    lock.held(tmp_path),
    pytest.raises(ValueError, match=f"process {os.getpid()} on"),
    lock.held(tmp_path),
  ):
    pass
  with lock.held(tmp_path):  # It is let go.
    pass


def waits_with(monkeypatch, sleep):
  """Has this be what the wait for a sign of life is."""
  monkeypatch.setattr(lock, "time", types.SimpleNamespace(sleep=sleep))


def test_a_lease_that_is_renewed_refuses_and_a_silent_one_does_not(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(lock, "_BEAT_SECONDS", 0.02)
  folder = storage.absolute(tmp_path)
  path = folder / lock.NAME

  def until_a_beat(seconds):  # However long its thread gets no turn.
    before, until = path.read_bytes(), time.monotonic() + 60
    while path.read_bytes() == before and time.monotonic() < until:
      time.sleep(0.01)

  waits_with(monkeypatch, until_a_beat)
  with (
    lock._leased(folder),
    pytest.raises(ValueError, match="is being trained in"),
    lock._leased(folder),
  ):
    pass
  path.write_text('{"nonce": "of a dead one"}')
  waits_with(monkeypatch, lambda seconds: None)
  with lock._leased(folder):
    pass


def test_a_lease_that_is_being_written_is_not_nobodys(tmp_path, monkeypatch):
  folder = storage.absolute(tmp_path)
  path = folder / lock.NAME
  path.write_text("")  # Cut off where its writer stands.
  waits_with(monkeypatch, lambda seconds: path.write_text("{}"))
  with pytest.raises(errors.UserError, match="by another process"):
    lock._wait_for_silence(folder, path)


def test_a_folder_that_cannot_be_locked_is_refused_in_every_process(tmp_path):
  (tmp_path / lock.NAME).mkdir()  # An OSError would end the first one alone.
  with (
    pytest.raises(errors.UserError, match="cannot be locked"),
    lock.held(tmp_path),
  ):
    pass


def test_a_folder_whose_storage_fails_is_locked_when_it_works_again(
  tmp_path, monkeypatch
):
  stumbled = OSError(errno.EIO, "Input/output error")

  def stumble(folder):
    raise stumbled

  monkeypatch.setattr(lock, "_locked", stumble)
  with (
    pytest.raises(errors.UserError, match="cannot be locked") as raised,
    lock.held(tmp_path),
  ):
    pass
  assert retrying.may_go_on(raised.value)


def test_whatever_has_given_up_on_storage_says_so_itself(tmp_path, monkeypatch):
  def give_up(folder):
    raise retrying.StillFailingError("the store is away")

  monkeypatch.setattr(lock, "_locked", give_up)
  with (
    pytest.raises(retrying.StillFailingError, match="the store is away"),
    lock.held(tmp_path),
  ):
    pass


def test_a_lease_that_another_run_took_over_stops_this_one(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(storage, "is_remote", lambda path: True)
  with lock.held(tmp_path) as check:
    check()
    (tmp_path / lock.NAME).write_text('{"nonce": "of another"}')
    with pytest.raises(errors.UserError, match="taken over by another run"):
      check()
  # It is the other's still.
  assert "of another" in (tmp_path / lock.NAME).read_text()


def test_a_store_that_fails_for_a_while_stops_nothing(tmp_path, monkeypatch):
  monkeypatch.setattr(storage, "is_remote", lambda path: True)
  with lock.held(tmp_path) as check:
    (tmp_path / lock.NAME).write_text("")
    check()


def test_a_folder_that_was_removed_and_is_anothers_stops_this_run(tmp_path):
  folder = tmp_path / "run"
  with lock.held(folder) as check:
    check()
    shutil.rmtree(folder)
    with lock.held(folder) as check_other:
      check_other()
      with pytest.raises(errors.UserError, match="or its folder removed"):
        check()
