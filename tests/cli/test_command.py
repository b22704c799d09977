"""How a script ends: its last line, and its exit status."""

import errno
import json

import pytest
from absl import logging

from van_jax import errors, retrying
from van_jax.cli import command
from van_jax.training import loop
from van_jax.training.run import checkpoint


@pytest.fixture(autouse=True)
def quiet_after():
  """Restores absl's logging, which `run` sets up for a script."""
  verbosity = logging.get_verbosity()
  filters = list(logging.get_absl_handler().filters)
  yield
  logging.set_verbosity(verbosity)
  logging.get_absl_handler().filters[:] = filters


def status_of(error):
  """Runs something that raises; returns the exit status."""

  def fail():
    raise error

  with pytest.raises(SystemExit) as info:
    command.run(fail)
  return info.value.code


def test_the_result_is_one_line_of_json_on_stdout(capsys):
  command.run(lambda: {"top1": 0.5, "count": 10})
  out = capsys.readouterr().out
  assert out.count("\n") == 1
  assert json.loads(out) == {"top1": 0.5, "count": 10}


@pytest.mark.parametrize(
  "error",
  [
    errors.UserError("batch_size=3 is odd"),
    checkpoint.CheckpointError("damaged"),
    loop.NonFiniteError("loss is nan at step 3"),
  ],
)
def test_an_expected_error_is_one_line_on_stderr_and_status_1(error, capsys):
  assert status_of(error) == 1
  captured = capsys.readouterr()
  assert captured.err == f"error: {error}\n"
  assert captured.out == ""


def test_a_message_of_several_lines_becomes_one(capsys):
  status_of(errors.UserError("two\n  lines"))
  assert capsys.readouterr().err == "error: two lines\n"


def test_a_run_that_was_asked_to_stop_has_a_status_of_its_own(capsys):
  assert status_of(loop.InterruptedRunError(7)) == 75
  assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
  ("error", "line"),
  [
    (
      PermissionError(errno.EACCES, "Permission denied", "/there/config.json"),
      "/there/config.json: Permission denied.",
    ),
    (
      OSError(errno.ENOSPC, "No space left on device"),
      "No space left on device; give it room, and run the same command again.",
    ),
  ],
)
def test_what_the_file_system_refuses_is_one_line(error, line, capsys):
  assert status_of(error) == 1
  assert capsys.readouterr().err == f"error: {line}\n"


def caused(error, cause):
  """Returns an error raised from another, or from None."""
  error.__cause__ = cause
  error.__suppress_context__ = True
  return error


STUMBLED = OSError(errno.EIO, "Input/output error", "/there/config.json")


@pytest.mark.parametrize(
  ("error", "line"),
  [
    (
      STUMBLED,
      "/there/config.json: Input/output error. Run the same command when the "
      "storage works again.",
    ),
    (
      OSError(errno.EIO, "Input/output error"),
      "Input/output error. Run the same command when the storage works again.",
    ),
    (
      caused(errors.UserError("workdir=x cannot be locked"), STUMBLED),
      "workdir=x cannot be locked",
    ),
    (retrying.StillFailingError("Reading x failed"), "Reading x failed"),
    (
      TimeoutError("no answer"),
      "TimeoutError: no answer. Run the same command when the storage works "
      "again.",
    ),
    (
      ValueError("UNAVAILABLE: the bucket is away"),
      "ValueError: UNAVAILABLE: the bucket is away. Run the same command when "
      "the storage works again.",
    ),
  ],
)
def test_storage_that_goes_on_failing_is_a_line_and_status_75(
  error, line, capsys
):
  assert status_of(error) == 75
  assert capsys.readouterr().err.splitlines()[-1] == f"error: {line}"


def test_a_refusal_that_was_told_by_an_error_that_passes_comes_again(capsys):
  error = caused(errors.UserError("another run has it"), None)
  error.__context__ = BlockingIOError(errno.EAGAIN, "try again")
  assert status_of(error) == 1
  assert capsys.readouterr().err == "error: another run has it\n"


@pytest.mark.parametrize("kind", [KeyError, ValueError, OSError])
def test_a_bug_keeps_its_traceback(kind):
  def fail():
    raise kind("ours")

  with pytest.raises(kind, match="ours"):
    command.run(fail)


def test_wrong_flags_are_one_line_and_status_1(monkeypatch, capsys):
  def parse(arguments):
    raise errors.UserError(f"{arguments} are wrong")

  monkeypatch.setattr(command.flag_parsing, "parse", parse)
  with pytest.raises(SystemExit) as info:
    command.parse_flags(["train.py"])
  assert info.value.code == 1
  assert capsys.readouterr().err == "error: ['train.py'] are wrong\n"


def test_a_bug_of_the_parsers_keeps_its_traceback(monkeypatch):
  def parse(arguments):
    raise ValueError("ours")

  monkeypatch.setattr(command.flag_parsing, "parse", parse)
  with pytest.raises(ValueError, match="ours"):
    command.parse_flags(["train.py"])
