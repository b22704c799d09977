"""When there is a bar, and what it says."""

import io
import sys
import types

import pytest

from van_jax.lab import progress_bar


class Terminal(io.StringIO):
  """Text that says it is a terminal."""

  def isatty(self):
    """Returns True."""
    return True


def run(shown):
  with progress_bar.opened(4, title="lka", shown=shown) as bar:
    for step in range(1, 5):
      bar.start(step)
      bar.note({"train/loss": 1 / step, "train/grad_norm": 3.0})


def fail_at_the_third():
  with progress_bar.opened(4, title="", shown=None) as bar:
    bar.start(3)
    raise RuntimeError


def test_nothing_is_written_where_nobody_watches(monkeypatch):
  stderr = io.StringIO()
  monkeypatch.setattr(sys, "stderr", stderr)
  run(None)
  assert stderr.getvalue() == ""


@pytest.mark.parametrize(
  ("stderr", "shown"), [(Terminal(), None), (io.StringIO(), True)]
)
def test_a_bar_counts_updates_done_and_has_the_last_loss(
  monkeypatch, stderr, shown
):
  monkeypatch.setattr(sys, "stderr", stderr)
  run(shown)
  last = stderr.getvalue().split("\r")[-1]
  assert last.startswith("lka: 100%")
  assert "4/4" in last
  assert "loss=0.25" in last
  assert "grad_norm" not in last


def test_there_is_none_if_the_user_says_so(monkeypatch):
  stderr = Terminal()
  monkeypatch.setattr(sys, "stderr", stderr)
  run(False)
  assert stderr.getvalue() == ""


def test_a_bar_that_is_interrupted_stays_where_it_was(monkeypatch):
  stderr = Terminal()
  monkeypatch.setattr(sys, "stderr", stderr)
  with pytest.raises(RuntimeError):
    fail_at_the_third()
  assert "2/4" in stderr.getvalue().split("\r")[-1]


@pytest.mark.parametrize(("kernel", "watched"), [(True, True), (False, False)])
def test_a_notebook_is_watched_and_a_plain_interpreter_is_not(
  monkeypatch, kernel, watched
):
  shell = types.SimpleNamespace(**({"kernel": 1} if kernel else {}))
  ipython = types.SimpleNamespace(get_ipython=lambda: shell)
  monkeypatch.setitem(sys.modules, "IPython", ipython)
  monkeypatch.setattr(sys, "stderr", io.StringIO())
  assert progress_bar.is_watched() == watched
