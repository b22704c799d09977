"""The profiler's window of steps."""

import jax
import pytest

from van_jax.training.run import profiling


@pytest.fixture
def calls(monkeypatch):
  """Records the profiler's starts and stops, between steps."""
  record = []
  monkeypatch.setattr(
    jax.profiler, "start_trace", lambda path: record.append(f"start {path}")
  )
  monkeypatch.setattr(jax.profiler, "stop_trace", lambda: record.append("stop"))
  return record


def observe_steps(calls, steps, *, first_step, num_steps):
  window = profiling.trace_window(
    "there", first_step=first_step, num_steps=num_steps
  )
  with window as observe:
    for step in steps:
      observe(step)
      calls.append(step)
  return calls


def test_traces_the_steps_of_its_window(calls):
  got = observe_steps(calls, range(1, 7), first_step=2, num_steps=3)
  assert got == [1, "start there", 2, 3, 4, "stop", 5, 6]


def test_a_window_that_outlasts_the_run_is_written_at_its_end(calls):
  got = observe_steps(calls, range(1, 4), first_step=3, num_steps=9)
  assert got == [1, 2, "start there", 3, "stop"]


def test_a_trace_is_written_when_the_run_fails(calls):
  window = profiling.trace_window("there", first_step=1, num_steps=9)
  with pytest.raises(RuntimeError), window as observe:  # noqa: PT012
    observe(1)
    raise RuntimeError
  assert calls == ["start there", "stop"]


def test_a_run_resumed_beyond_its_window_is_not_traced(calls):
  assert observe_steps(calls, [5, 6], first_step=2, num_steps=9) == [5, 6]


def test_no_steps_are_no_trace(calls):
  assert observe_steps(calls, [1, 2], first_step=1, num_steps=0) == [1, 2]


@pytest.mark.parametrize(("first", "number"), [(0, 1), (1, -1)])
def test_malformed_windows_are_refused(calls, first, number):
  with pytest.raises(ValueError, match=r"logging\.profile_first_step"):
    observe_steps(calls, [], first_step=first, num_steps=number)
