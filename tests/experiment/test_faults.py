"""Two processes of a run: what befalls one ends both, and both go on.

One run in one workdir: SIGTERM to the second process while it compiles, where
a run that goes on once never stopped; then SIGKILL to it in a step.
"""

import json
import re
import signal
import socket
import time

import pytest

from van_jax.training.run import checkpoint

DEADLINES = ("--config.deadlines.step_seconds=60",)


class Pair:
  """Two processes that run the same command."""

  def __init__(self, start, workdir, folder):
    with socket.socket() as free:
      free.bind(("127.0.0.1", 0))
      port = free.getsockname()[1]
    self.logs = [folder / f"{i}.log" for i in range(2)]
    self.processes = []
    for i, log in enumerate(self.logs):
      with log.open("w") as file:
        self.processes.append(
          start(
            "train.py",
            "--distributed",
            f"--coordinator_address=127.0.0.1:{port}",
            "--num_processes=2",
            f"--process_id={i}",
            f"--workdir={workdir}",
            *DEADLINES,
            log=file,
          )
        )

  def send(self, number, pattern):
    """Sends the second process a signal once it has logged something."""
    until = time.monotonic() + 200
    while not re.search(pattern, self.logs[1].read_text()):
      assert self.processes[1].poll() is None, self.logs[1].read_text()
      assert time.monotonic() < until
      time.sleep(0.02)
    self.processes[1].send_signal(number)

  def end(self):
    """Returns what each process said and its status, once both have ended."""
    try:
      for process in self.processes:
        process.communicate(timeout=200)
    finally:
      for process in self.processes:
        process.kill()
    return [
      (log.read_text(), process.returncode)
      for log, process in zip(self.logs, self.processes, strict=True)
    ]


@pytest.fixture(scope="module")
def drilled(start, tmp_path_factory):
  """Returns the workdir, what came of each pair, and its checkpoints."""
  workdir = tmp_path_factory.mktemp("drilled") / "run"
  found = []
  for number, pattern in (
    (signal.SIGTERM, "Compiling the training step"),
    (signal.SIGTERM, "Compiling the training step"),  # Of a run that goes on.
    (signal.SIGKILL, "Compiled in"),
  ):
    pair = Pair(start, workdir, tmp_path_factory.mktemp("logs"))
    pair.send(number, pattern)
    if number == signal.SIGTERM:
      pair.processes[1].send_signal(number)  # Impatient.
    ended = pair.end()
    found.append((ended, checkpoint.steps(workdir / "checkpoints")))
  return workdir, found


@pytest.mark.parametrize("which", [0, 1])
def test_sigterm_to_one_while_it_compiles_stops_both_at_one_step(
  drilled, which
):
  (first, second), _ = drilled[1][which]
  assert (first[1], second[1]) == (75, 75), first[0] + second[0]
  said = [re.search("stopped on request.*", log) for log, _ in (first, second)]
  assert said[0] is not None
  assert said[1] is not None
  assert said[0][0] == said[1][0]


def test_a_peers_death_ends_the_other_with_a_line(drilled):
  (first, second), _ = drilled[1][2]
  assert second[1] == -signal.SIGKILL
  log, status = first
  assert status == 75, log
  last = log.splitlines()[-1]
  assert last.startswith("error: process 0 of 2 has lost another")
  assert "the same command" in last


def test_time_is_accounted_for_across_all_of_them(drilled):
  account = json.loads((drilled[0] / "goodput.json").read_text())
  assert account["runs"] >= 2
  assert account["seconds"]["restart"] > 0
