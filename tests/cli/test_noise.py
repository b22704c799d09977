"""What a user's terminal shows of other libraries, and what not."""

import logging as logging_levels
import sys
import types

import pytest
from absl import logging

from van_jax.cli import noise


def record(path, level):
  """Returns a line of a log that this file has written."""
  return logging_levels.LogRecord("x", level, path, 1, "said", (), None)


@pytest.fixture(autouse=True)
def normal_verbosity():
  """Has absl log what a script does."""
  before = logging.get_verbosity()
  logging.set_verbosity(logging.INFO)
  yield
  logging.set_verbosity(before)


@pytest.mark.parametrize(
  ("path", "level", "shown"),
  [
    ("/site/van_jax/training/loop.py", logging_levels.INFO, True),
    ("/site/jax/_src/compiler.py", logging_levels.WARNING, False),
    ("/site/jax/_src/compiler.py", logging_levels.ERROR, True),
    # What Orbax cannot write comes back to us, and is said in a line.
    ("/site/orbax/checkpoint/manager.py", logging_levels.ERROR, False),
  ],
)
def test_errors_that_come_back_to_us_are_not_shown_twice(path, level, shown):
  assert noise._worth_reading(record(path, level)) is shown


def test_all_of_it_comes_in_detail():
  logging.set_verbosity(logging.DEBUG)
  orbax = record("/site/orbax/manager.py", logging_levels.ERROR)
  assert noise._worth_reading(orbax)


@pytest.mark.parametrize(
  ("text", "shown"), [("Event loop is closed", 0), ("something else", 1)]
)
def test_only_the_known_echo_of_a_failed_write_is_swallowed(
  text, shown, monkeypatch
):
  told = []
  monkeypatch.setattr(sys, "__unraisablehook__", told.append)
  noise._unraisable(types.SimpleNamespace(exc_value=RuntimeError(text)))
  assert len(told) == shown
