"""Phases within phases, by a clock that is set by hand."""

import pytest

from van_jax.training.run import phases as phases_lib


class Clock:
  """A clock that only moves when it is told to."""

  def __init__(self):
    self.now = 100.0

  def __call__(self):
    """Returns seconds."""
    return self.now


@pytest.fixture
def clock():
  return Clock()


@pytest.fixture
def phases(clock):
  return phases_lib.Phases(clock)


def test_what_lies_within_a_phase_is_not_its_own_time(phases, clock):
  clock.now += 1
  with phases.phase("evaluation"):
    clock.now += 2
    with phases.phase("compile"):
      clock.now += 4
    clock.now += 8
  clock.now += 16
  assert phases.seconds() == {"start-up": 17, "evaluation": 10, "compile": 4}


def test_an_error_leaves_a_phase_too(phases, clock):
  with pytest.raises(KeyError), phases.phase("save"):
    raise KeyError
  assert phases.standing().names == ("start-up",)


def test_a_phase_stands_from_where_it_began_without_those_within(phases, clock):
  with phases.phase("step"):
    clock.now += 3
    with phases.phase("save"):
      clock.now += 50
      assert phases.standing()[:2] == (("start-up", "step", "save"), 50)
    clock.now += 1
    assert phases.standing()[:2] == (("start-up", "step"), 4)


def test_a_sign_of_life_is_of_its_phase_alone(phases, clock):
  with phases.phase("step"):
    clock.now += 3
    with phases.phase("data"):
      clock.now += 5
      phases.beat("step")  # By the device, meanwhile.
      assert phases.standing().seconds == 5
    assert phases.standing().seconds == 0


def test_a_late_sign_of_life_of_a_phase_that_is_over_is_nobodys(phases, clock):
  clock.now += 5
  phases.beat("evaluation")
  assert phases.standing().seconds == 5


def test_the_fastest_step_has_its_wait_for_data_and_nothing_else(phases, clock):
  with phases.phase("step"):
    for seconds in (9, 2, 6):
      clock.now += seconds
      with phases.phase("data"):
        clock.now += 1
      with phases.phase("save"):
        clock.now += 70
      phases.beat("step")
  assert phases.standing().fastest_step == 3


def test_time_can_be_another_phases_in_hindsight(phases, clock):
  with phases.phase("data"):
    clock.now += 5
  phases.move("data", "step", 3)
  assert phases.seconds() == {"start-up": 0, "data": 2, "step": 3}


def test_time_in_which_the_process_was_halted_is_forgiven(phases, clock):
  clock.now += 50
  phases.forgive(45)
  assert phases.standing().seconds == 5
  phases.forgive(45)
  assert phases.standing().seconds == 0
