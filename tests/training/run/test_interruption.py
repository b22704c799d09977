"""SIGTERM and Ctrl-C: asked about, and never in the way."""

import os
import signal
import subprocess
import sys
import time

import pytest

from van_jax.training.run import interruption

# Both ignore Python's handlers: the main thread is in C for ever.
BUSY = "hashlib.pbkdf2_hmac('sha256', b'', b'', (1 << 31) - 1)"
SCRIPT = f"""
import hashlib, os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from van_jax.cli import command
from van_jax.training.run import interruption

main = threading.main_thread().ident

def press():  # Until it is ended, once the main thread is there.
  while sys._current_frames()[main].f_code is not work.__code__:
    time.sleep(0.1)
  while True:
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGINT)

def work():
  {BUSY}

def train():
  with interruption.watch():
    threading.Thread(target=press, daemon=True).start()
    work()

def convert():
  threading.Thread(target=press, daemon=True).start()
  work()

command.run(globals()[sys.argv[1]])
"""


@pytest.fixture(autouse=True)
def interruptible():
  """Undoes the ignoring of Ctrl-C that a shell's background jobs begin with."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)


def press(number):
  """Sends this process a signal, and lets its handler be called."""
  os.kill(os.getpid(), number)
  time.sleep(0.01)


def comes_true(question):
  """Returns whether the answer is yes, once the listener has had a turn."""
  until = time.monotonic() + 60
  while not question() and time.monotonic() < until:
    time.sleep(0.01)
  return question()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_an_answer_and_no_exception(number):
  with interruption.watch() as interrupted:
    assert not interrupted()
    press(number)
    assert comes_true(interrupted)


def test_outside_of_scripts_the_second_ctrl_c_is_pythons():
  with interruption.watch() as interrupted:
    press(signal.SIGINT)
    assert comes_true(interrupted)
    with pytest.raises(KeyboardInterrupt):
      press(signal.SIGINT)


def test_handlers_are_put_back():
  before = signal.getsignal(signal.SIGTERM)
  with interruption.watch():
    assert signal.getsignal(signal.SIGTERM) is not before
  assert signal.getsignal(signal.SIGTERM) is before
  assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_is_ignored_stays_ignored():
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  with interruption.watch() as interrupted:
    press(signal.SIGINT)
    assert not interrupted()


def test_a_script_that_imports_is_ended_without_a_traceback():
  interruption.mute_ctrl_c()
  assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


@pytest.mark.parametrize("what", ["train", "convert"])
def test_ctrl_c_ends_a_script_that_is_compiling_in_a_line(what):
  process = subprocess.run(
    [sys.executable, "-c", SCRIPT, what],
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert process.returncode == 130, process.stderr
  lines = process.stderr.splitlines()
  assert lines[-1] == "stopped by Ctrl-C."
  if what == "train":
    assert "Ctrl-C: saving after this step" in lines[-2]
  assert len(lines) == (2 if what == "train" else 1)


def test_sigterm_while_modules_are_imported_can_be_started_again():
  script = (
    "import os, signal, time\n"
    "from van_jax.training.run import interruption\n"
    "interruption.end_on_sigterm()\n"
    "os.kill(os.getpid(), signal.SIGTERM)\n"
    "time.sleep(60)\n"
  )
  process = subprocess.run(
    [sys.executable, "-c", script],
    stderr=subprocess.PIPE,
    text=True,
    timeout=300,
    check=False,
  )
  assert process.returncode == 75
  assert "the same command goes on" in process.stderr
