"""Phases that take too long: who is ended, who is not, and what is said."""

import re
import signal
import subprocess
import sys
import time

import pytest

from van_jax.training.run import phases as phases_lib, watchdog

DEADLINES = {"compile": 30.0, "step": 10.0, "data": 10.0, "save": 20.0}
# Each hangs in a way of its own.
SCRIPT = """
import ctypes, signal, sys, threading, time
from van_jax.cli import command
from van_jax.training.run import phases as phases_lib, watchdog
watchdog._LOOK_SECONDS, watchdog._SPARE_SECONDS = 0.05, 0.5
workdir, kind = sys.argv[1:]
# To hold the lock takes a turn, which must come before the deadline.
seconds = {"hang_in_save": 0.5, "hold_the_lock": 6}[kind]

def hang_in_save():
  threading.Event().wait()

def hold_the_lock():
  while not signal.getitimer(signal.ITIMER_REAL)[0]:
    time.sleep(0.01)  # For the watch to have looked.
  ctypes.PyDLL(None).sleep(600)  # As a call that never gives it back.

def train():
  phases = phases_lib.Phases()
  with (
    watchdog.watched(phases, deadlines={"save": seconds}, workdir=workdir),
    phases.phase("step"),
    phases.phase("save"),
  ):
    globals()[kind]()
  return {}

command.run(train)
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
  """Returns what became of processes that hang, and their folder."""
  folder = tmp_path_factory.mktemp("hangs")
  started = {
    kind: subprocess.Popen(
      [sys.executable, "-c", SCRIPT, str(folder), kind],
      stderr=subprocess.PIPE,
      text=True,
    )
    for kind in ("hang_in_save", "hold_the_lock")
  }
  try:
    return folder, {
      kind: (process.communicate(timeout=300)[1], process.returncode)
      for kind, process in started.items()
    }
  finally:
    for process in started.values():
      process.kill()


def test_a_hang_ends_a_script_with_status_75_and_says_where(ended):
  _, found = ended
  said, status = found["hang_in_save"]
  assert status == 75, said
  last = said.splitlines()[-1]
  assert re.search(
    r"hangs in start-up > step > save: \d+ s without a sign of life", last
  )
  assert "the same command goes on" in last


def test_the_stacks_of_all_threads_are_logged_and_kept(ended):
  folder, found = ended
  kept = (folder / "hang-0.txt").read_text()
  for text in (found["hang_in_save"][0], kept):
    assert "in hang_in_save" in text
    assert "in watch" in text
  assert "hangs in start-up > step > save" in kept.splitlines()[0]


def test_a_hang_that_holds_the_interpreters_lock_ends_too(ended):
  said, status = ended[1]["hold_the_lock"]
  assert status == -6, said  # SIGABRT, which is started again as 75 is.
  assert "in hold_the_lock" in said


def standing(name, fastest_step=0.0):
  return phases_lib.Standing(("start-up", name), 0.0, fastest_step)


@pytest.fixture
def dog(tmp_path):
  return watchdog.Watchdog(
    phases_lib.Phases(), deadlines=DEADLINES, workdir=tmp_path
  )


@pytest.mark.parametrize(
  ("name", "fastest_step", "seconds"),
  [
    ("save", 0.0, 20),
    ("save", 9.0, 20),
    ("step", 0.5, 10),
    ("data", 0.5, 10),
    ("step", 9.0, 90),  # Slow, and no hang.
    ("data", 9.0, 90),
    ("step", 0.0, 30),  # The first one.
    ("export", 0.0, None),
  ],
)
def test_what_a_phase_may_take(dog, name, fastest_step, seconds):
  assert dog.allowed(standing(name, fastest_step)) == seconds


@pytest.fixture
def clock():
  return [0.0]


@pytest.fixture
def run(clock, tmp_path):
  """Returns a run's phases, and what watches it."""
  phases = phases_lib.Phases(lambda: clock[0])
  return phases, watchdog.Watchdog(
    phases, deadlines=DEADLINES, workdir=tmp_path
  )


def test_outside_of_scripts_a_hang_is_reported_once_and_nothing_ended(
  run, clock, caplog, tmp_path
):
  phases, dog = run
  with phases.phase("save"):
    clock[0] += 21
    dog.look()
    dog.look()
  assert caplog.text.count("hangs in start-up > save: 21 s") == 1
  assert (tmp_path / "hang-0.txt").exists()


def test_a_hang_within_its_deadline_is_none(run, clock, caplog):
  phases, dog = run
  with phases.phase("save"):
    clock[0] += 19
    dog.look()
  assert "hangs" not in caplog.text


def test_a_folder_that_is_not_there_is_not_made(run, clock, tmp_path):
  tmp_path.rmdir()
  phases, dog = run
  with phases.phase("save"):
    clock[0] += 21
    dog.look()
  assert not tmp_path.exists()


def test_outside_of_scripts_the_kernels_timer_is_left_alone(run, tmp_path):
  phases, _ = run
  signal.setitimer(signal.ITIMER_REAL, 600)  # Somebody else's.
  try:
    with watchdog.watched(phases, deadlines=DEADLINES, workdir=tmp_path):
      pass
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 500
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)


def test_a_process_that_was_halted_is_given_that_time(run, clock, monkeypatch):
  phases, dog = run
  looks = []

  def wait(seconds):
    if looks:
      return True
    looks.append(seconds)
    clock[0] += 500  # Of SIGSTOP, until SIGCONT.
    monkeypatch.setattr(time, "monotonic", lambda: 500.0)
    return False

  monkeypatch.setattr(dog._stopped, "wait", wait)
  monkeypatch.setattr(time, "monotonic", lambda: 0.0)
  with phases.phase("save"):
    dog.watch()
    assert phases.standing().seconds == watchdog._LOOK_SECONDS
