"""Progress, by a clock that is set by hand."""

import threading

import pytest

from van_jax.training.run import phases as phases_lib, progress


class Clock:
  """A clock that only moves when it is told to."""

  def __init__(self):
    self.now = 100.0  # Not 0: only differences may matter.

  def __call__(self):
    """Returns seconds."""
    return self.now

  def advance(self, seconds):
    """Lets time pass."""
    self.now += seconds


@pytest.fixture
def clock():
  return Clock()


@pytest.fixture
def phases(clock):
  """Returns the phases of a run whose start-up took long, and that steps."""
  phases = phases_lib.Phases(clock)
  clock.advance(1000)
  with phases.phase(phases_lib.STEP):
    yield phases


@pytest.fixture
def meter(phases):
  return progress.Progress(
    first_step=10, total_steps=50, batch_size=8, phases=phases
  )


def test_speed_is_images_over_seconds(meter, clock):
  clock.advance(4)
  assert meter.report(20)["progress/images_per_second"] == 10 * 8 / 4


def test_time_left_is_that_of_the_steps_left_at_this_speed(meter, clock):
  clock.advance(4)
  assert meter.report(20)["progress/seconds_left"] == 30 * 4 / 10


def test_no_time_is_left_at_the_end(meter, clock):
  clock.advance(4)
  assert meter.report(50)["progress/seconds_left"] == 0


def test_a_report_is_of_the_steps_since_the_last(meter, clock):
  clock.advance(100)
  meter.report(20)
  clock.advance(2)
  assert meter.report(30)["progress/images_per_second"] == 10 * 8 / 2


@pytest.mark.parametrize("name", ["save", "evaluation", "compile"])
def test_other_phases_are_left_out(meter, phases, clock, name):
  clock.advance(4)
  with phases.phase(name):
    clock.advance(1000)
  assert meter.report(20)["progress/images_per_second"] == 10 * 8 / 4


def test_a_save_before_a_report_is_not_taken_off_the_next(meter, phases, clock):
  with phases.phase("save"):
    clock.advance(3)
  clock.advance(1)
  meter.report(20)
  clock.advance(4)
  assert meter.report(30)["progress/images_per_second"] == 10 * 8 / 4


def test_waiting_is_a_fraction_of_the_time(meter, clock):
  clock.advance(3)
  with meter.waiting_for_data():
    clock.advance(1)
  assert meter.report(20)["progress/data_wait"] == 1 / 4


class Metric:
  """A number that the device is still computing."""

  def __init__(self):
    self.finished = threading.Event()
    self.waited_for = threading.Event()

  def block_until_ready(self):
    """Waits, as an array does."""
    self.waited_for.set()
    assert self.finished.wait(30)
    return self


def finish(meter, metric):
  """Ends the step, and lets the meter see it."""
  metric.finished.set()
  meter._finished.result()


def test_waiting_while_the_device_is_busy_is_not_lost(meter, clock):
  metric = Metric()
  meter.follow({"loss": metric})
  clock.advance(1)
  with meter.waiting_for_data():
    clock.advance(3)
  finish(meter, metric)
  assert meter.report(20)["progress/data_wait"] == 0


def test_waiting_counts_from_where_the_device_has_finished(meter, clock):
  metric = Metric()
  meter.follow({"loss": metric})
  with meter.waiting_for_data():
    clock.advance(3)
    finish(meter, metric)
    clock.advance(1)
  assert meter.report(20)["progress/data_wait"] == 1 / 4


def test_an_idle_device_before_the_wait_is_not_blamed_on_data(meter, clock):
  metric = Metric()
  meter.follow({"loss": metric})
  finish(meter, metric)
  clock.advance(3)
  with meter.waiting_for_data():
    clock.advance(1)
  assert meter.report(20)["progress/data_wait"] == 1 / 4


def test_following_does_not_wait(meter):
  metric = Metric()
  meter.follow({"loss": metric})  # Or this line would fail after 30 s.
  assert metric.waited_for.wait(30)
  assert not metric.finished.is_set()
  finish(meter, metric)


def test_waiting_while_the_device_is_busy_is_time_of_the_step(
  meter, phases, clock
):
  metric = Metric()
  meter.follow({"loss": metric})
  with meter.waiting_for_data():
    clock.advance(3)
    finish(meter, metric)
    clock.advance(1)
  assert phases.seconds() == {"start-up": 1000, "step": 3, "data": 1}


def test_a_step_that_the_device_has_finished_is_a_sign_of_life(
  meter, phases, clock
):
  metric = Metric()
  meter.follow({"loss": metric})
  clock.advance(7)
  assert phases.standing().seconds == 7
  finish(meter, metric)
  assert phases.standing().seconds == 0


def test_a_clock_that_stands_still_gives_finite_numbers(meter):
  assert meter.report(10)["progress/images_per_second"] == 0


@pytest.mark.parametrize(
  ("seconds", "text"),
  [
    (0, "0m00s"),
    (59.6, "1m00s"),
    (247, "4m07s"),
    (3 * 3600 + 5 * 60, "3h05m"),
    (26 * 3600 + 59, "1d02h"),
  ],
)
def test_durations_are_readable(seconds, text):
  assert progress.format_duration(seconds) == text
