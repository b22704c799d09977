"""Storage that fails for a while is asked again; what fails for good is not."""

import errno
import os
import tempfile
import time

import pytest
from absl import logging as absl_logging

from van_jax import errors, places, retrying, storage
from van_jax.retrying import calls


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
  """Has nobody wait between two tries."""
  monkeypatch.setattr(time, "sleep", lambda seconds: None)


class Failing:
  """Calls a function, but for the first times raises an error."""

  def __init__(self, function, error, times=2):
    self.function, self.error, self.left = function, error, times

  def __call__(self, *arguments, **options):
    """Raises the error, or calls the function."""
    if self.left:
      self.left -= 1
      raise self.error
    return self.function(*arguments, **options)


@pytest.mark.parametrize(
  "number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN]
)
@pytest.mark.parametrize(
  ("module", "name"),
  [(os, "mkdir"), (os, "rename"), (os, "stat"), (os, "listdir")],
)
def test_operations_on_a_path_are_tried_again(
  tmp_path, monkeypatch, number, module, name
):
  failing = Failing(getattr(module, name), OSError(number, "stumbled"))
  folder = storage.absolute(tmp_path / "folder")
  monkeypatch.setattr(module, name, failing)
  folder.mkdir()
  moved = folder.rename(tmp_path / "moved")
  assert moved.exists()
  assert list(moved.iterdir()) == []
  assert failing.left == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_what_does_not_pass_is_raised_at_once(tmp_path, monkeypatch, number):
  failing = Failing(os.mkdir, OSError(number, "no"), times=1)
  monkeypatch.setattr(os, "mkdir", failing)
  with pytest.raises(OSError, match="no"):
    storage.absolute(tmp_path / "folder").mkdir()


def test_a_stumbling_disk_is_not_an_empty_one(tmp_path, monkeypatch):
  """Python's own `exists` says no to any error."""
  failing = Failing(os.stat, OSError(errno.ESTALE, "stale"))
  monkeypatch.setattr(os, "stat", failing)
  assert storage.absolute(tmp_path).is_dir()


def test_a_rename_whose_answer_was_lost_is_done(tmp_path, monkeypatch):
  rename = os.rename

  def lose_the_answer(*paths):
    rename(*paths)
    monkeypatch.setattr(os, "rename", rename)
    raise OSError(errno.ETIMEDOUT, "timed out")

  monkeypatch.setattr(os, "rename", lose_the_answer)
  (tmp_path / "here").mkdir()
  storage.absolute(tmp_path / "here").rename(tmp_path / "there")
  assert (tmp_path / "there").is_dir()


def test_a_file_is_written_whole_however_often_it_fails(tmp_path, monkeypatch):
  replace = Failing(os.replace, OSError(errno.EIO, "stumbled"))
  monkeypatch.setattr(os, "replace", replace)
  with storage.replacing(tmp_path / "file") as draft:
    draft.write_text("all of it")
  assert [p.name for p in tmp_path.iterdir()] == ["file"]
  assert (tmp_path / "file").read_text() == "all of it"


def test_each_try_is_in_the_log_and_later_than_the_last(monkeypatch):
  lines, slept = [], []
  monkeypatch.setattr(
    absl_logging, "warning", lambda text, *args: lines.append(text % args)
  )
  monkeypatch.setattr(time, "sleep", slept.append)
  work = Failing(lambda: "done", OSError(errno.EIO, "stumbled"), times=6)
  assert retrying.call(work, "Writing") == "done"
  assert len(lines) == 6
  assert "Writing failed ([Errno 5] stumbled); trying again in" in lines[0]
  bounds = [calls._FIRST_DELAY * 2**i for i in range(6)]
  pairs = zip(slept, bounds, strict=True)
  assert all(bound / 2 <= second <= bound for second, bound in pairs)


def test_the_deadline_bounds_all(monkeypatch):
  clock = [0.0]
  monkeypatch.setattr(time, "monotonic", lambda: clock[0])
  monkeypatch.setattr(
    time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds)
  )
  work = Failing(lambda: None, OSError(errno.EIO, "stumbled"), times=10**6)
  with pytest.raises(OSError, match="stumbled"):
    retrying.call(work, "Writing", seconds=100)
  assert clock[0] == pytest.approx(100)


class _HttpError(Exception):
  code = 503


class _RefusedError(Exception):
  code = 403


@pytest.mark.parametrize(
  ("error", "passes"),
  [
    (_HttpError(), True),
    (_RefusedError(), False),
    (ConnectionResetError("reset"), True),
    (TimeoutError("a barrier"), True),
    # As TensorStore says it.
    (ValueError("UNAVAILABLE: Error opening gs://bucket"), True),
    (ValueError("UNKNOWN: [OS error 5: EIO Input/output error]"), True),
    (ValueError("RESOURCE_EXHAUSTED: [OS error 28: ENOSPC No space]"), False),
    (ValueError("DATA_LOSS: Error reading"), False),
    (FileNotFoundError(errno.ENOENT, "missing"), False),
  ],
)
def test_which_errors_pass(error, passes):
  assert retrying.is_passing(error) == passes
  wrapped = RuntimeError("a library's own")
  wrapped.__cause__ = error
  assert retrying.is_passing(wrapped) == passes


def test_an_answer_that_does_not_pass_counts_in_the_midst_of_one_that_does():
  error = FileNotFoundError(errno.ENOENT, "missing")
  error.__context__ = OSError(errno.EIO, "stumbled")
  assert not retrying.is_passing(error)


def test_what_was_raised_from_none_has_nothing_to_do_with_what_passes():
  error = ValueError("another run has it")
  error.__context__ = OSError(errno.EAGAIN, "locked")
  assert retrying.is_passing(error)
  error.__suppress_context__ = True
  assert not retrying.is_passing(error)


def test_a_place_is_tried_again_before_it_is_called_unwritable(
  tmp_path, monkeypatch
):
  stumbled = OSError(errno.EIO, "stumbled")
  failing = Failing(tempfile.TemporaryFile, stumbled)
  monkeypatch.setattr(tempfile, "TemporaryFile", failing)
  places.check_writable(tmp_path / "run", "workdir")
  assert failing.left == 0


@pytest.mark.parametrize(
  ("error", "again"),
  [
    (retrying.StillFailingError("for long"), True),
    (errors.PeerError("process 1 is gone"), True),
    (OSError(errno.EIO, "stumbled"), True),
    (errors.UserError("batch_size=3"), False),
  ],
)
def test_what_the_same_command_goes_on_after(error, again):
  assert retrying.may_go_on(error) == again
