"""A script's process ends in bounded time, with its status, and no other does.

Each of these processes has threads that wait for ever, as Orbax's may after a
failed save: one of its own, and one of a pool. Without bounds none would end.
"""

import subprocess
import sys

import pytest

_STUCK = """
import concurrent.futures, sys, threading, time
from van_jax import errors
from van_jax.cli import command, ending
ending._GRACE_SECONDS = 0.2
for_ever = threading.Event()
threading.Thread(target=for_ever.wait).start()
concurrent.futures.ThreadPoolExecutor().submit(for_ever.wait)
def fail(error):
  raise error
"""
_ENDS = {
  "a result": ("command.run(lambda: {'top1': 0.5})", 0, '{"top1": 0.5}'),
  "a user's error": (
    "command.run(lambda: fail(errors.UserError('seed=x')))",
    1,
    "error: seed=x",
  ),
  "a bug": ("command.run(lambda: fail(KeyError('ours')))", 1, "KeyError"),
}
# The main thread runs nothing for ten times the grace, then ends by itself.
_GOES_ON = """
try:
  command.run(lambda: fail(errors.UserError('seed=x')))
except SystemExit:
  pass
time.sleep(2)
print('went on')
for_ever.set()
ending._GRACE_SECONDS = 60
"""


@pytest.fixture(scope="module")
def ended():
  """Returns what became of each process, which run side by side."""
  codes = {name: code for name, (code, *_) in _ENDS.items()}
  started = {
    name: subprocess.Popen(
      [sys.executable, "-c", _STUCK + code],
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for name, code in {**codes, "goes on": _GOES_ON}.items()
  }
  try:
    return {
      name: (process.communicate(timeout=300)[0], process.returncode)
      for name, process in started.items()
    }
  finally:
    for process in started.values():
      process.kill()


@pytest.mark.parametrize("name", _ENDS)
def test_threads_that_wait_for_ever_do_not_keep_a_script(ended, name):
  _, status, said = _ENDS[name]
  output, returned = ended[name]
  assert returned == status, output
  assert said in output


def test_a_program_that_goes_on_after_an_error_is_left_alone(ended):
  output, returned = ended["goes on"]
  assert "went on" in output
  assert returned == 0, output


def test_a_prompt_is_left_alone():
  """Its main thread has no Python frame while it waits for a line."""
  process = subprocess.Popen(
    [sys.executable, "-i", "-c", _STUCK + "ending.bound(1)"],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  )
  try:
    with pytest.raises(subprocess.TimeoutExpired):
      process.wait(timeout=4)
    output, _ = process.communicate("print('still', 'here')\n", timeout=300)
    assert "still here" in output
  finally:
    process.kill()
