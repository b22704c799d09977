"""Two processes of a run: what befalls one ends both, and both go on.

One run in one workdir: SIGKILL to the second process in a step; then, to the
run that goes on, SIGTERM while it compiles.
"""

import json
import re
import signal
import socket
import time

import pytest

SHORT = ("--config.deadlines.step_seconds=60",)
PATIENCE = 300  # Seconds; of a busy machine.


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
            *SHORT,
            log=file,
          )
        )

  def send(self, number, pattern):
    """Sends the second process a signal once it has logged something."""
    until = time.monotonic() + PATIENCE
    while not re.search(pattern, self.logs[1].read_text()):
      assert self.processes[1].poll() is None, self.logs[1].read_text()
      assert time.monotonic() < until
      time.sleep(0.02)
    self.processes[1].send_signal(number)

  def end(self):
    """Returns what each process said and its status, once both have ended."""
    try:
      for process in self.processes:
        process.communicate(timeout=PATIENCE)
    finally:
      for process in self.processes:
        process.kill()
    return [
      (log.read_text(), process.returncode)
      for log, process in zip(self.logs, self.processes, strict=True)
    ]


@pytest.fixture(scope="module")
def drilled(start, tmp_path_factory):
  """Returns the workdir, and what came of each pair."""
  workdir = tmp_path_factory.mktemp("drilled") / "run"
  found = []
  for number, pattern in (
    (signal.SIGKILL, "step 5/12"),  # The checkpoint of step 2 is there.
    (signal.SIGTERM, "Compiling the training step"),
  ):
    pair = Pair(start, workdir, tmp_path_factory.mktemp("logs"))
    pair.send(number, pattern)
    if number == signal.SIGTERM:
      pair.processes[1].send_signal(number)  # Impatient.
    found.append(pair.end())
  return workdir, found


def test_a_peers_death_ends_the_other_with_a_line(drilled):
  (log, status), (_, killed) = drilled[1][0]
  assert killed == -signal.SIGKILL
  assert status == 75, log
  last = log.splitlines()[-1]
  assert last.startswith("error: process 0 of 2 has lost another")
  assert "the same command" in last


def test_sigterm_to_one_while_it_compiles_stops_both_at_one_step(drilled):
  # JAX's own count of steps would be past what it answers to.
  (first, second) = drilled[1][1]
  assert (first[1], second[1]) == (75, 75), first[0] + second[0]
  said = [re.search("stopped on request.*", log) for log, _ in (first, second)]
  assert said[0] is not None
  assert said[1] is not None
  assert said[0][0] == said[1][0]
  assert "after step" in said[0][0]


def test_time_is_accounted_for_across_restarts(drilled):
  account = json.loads((drilled[0] / "goodput.json").read_text())
  assert account["runs"] == 2
  assert account["steps_recomputed"] >= 1
  assert account["seconds"]["restart"] > 0
