"""The runs of a fault drill: started in processes, watched, and compared."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).parent.parent
DEADLINES = {  # Seconds; short, and long enough for a busy machine.
  "start_up_seconds": 90,
  "barrier_seconds": 60,
  "compile_seconds": 120,
  "restore_seconds": 60,
  "step_seconds": 20,
  "save_seconds": 60,
  "evaluation_seconds": 60,
}
# Enough batches that an evaluation lasts.
EVALUATION = {"data.eval_split": "test", "evaluation.batch_size": 8}


class Attempt:
  """One start of the command, in one or several processes."""

  def __init__(
    self, config: str, workdir: pathlib.Path, count: int, number: int
  ):
    """Starts it.

    Args:
      config: what is trained.
      workdir: of the run.
      count: of processes.
      number: of starts before.
    """
    self.workdir = workdir
    self.logs = [
      workdir.with_name(f"{workdir.name}.{number}.{i}.log")
      for i in range(count)
    ]
    self.processes = _started(config, workdir, self.logs)
    self.began = time.monotonic()

  def log(self) -> str:
    """Returns what process 0 has said so far."""
    return self.logs[0].read_text(errors="replace")

  def ended(self) -> bool:
    """Returns whether any process has."""
    return any(process.poll() is not None for process in self.processes)

  def await_all(
    self, seconds: float, which: Sequence[int] | None = None
  ) -> bool:
    """Returns whether all of these, or all, end by themselves within a time."""
    indices = range(len(self.processes)) if which is None else which
    deadline = time.monotonic() + seconds
    while any(self.processes[i].poll() is None for i in indices):
      if time.monotonic() > deadline:
        return False
      time.sleep(0.05)
    return True

  def result(self) -> dict[str, Any] | None:
    """Returns the scores, if it has ended with them."""
    if any(process.returncode for process in self.processes):
      return None
    lines = [line for line in self.log().splitlines() if line[:1] == "{"]
    return json.loads(lines[-1])


@contextlib.contextmanager
def killed_at_last(attempt: Attempt) -> Iterator[None]:
  """Leaves no process of it, whatever happens."""
  try:
    yield
  finally:
    for process in attempt.processes:
      process.kill()
      process.wait()


def _started(
  config: str, workdir: pathlib.Path, logs: list[pathlib.Path]
) -> list[subprocess.Popen[bytes]]:
  """Returns the processes of the command, which log into files."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  command = [sys.executable, str(ROOT / "train.py")]
  command += [f"--config={config}", f"--workdir={workdir}"]
  command += [f"--config.data.directory={workdir.parent / 'data'}"]
  command += [f"--config.compilation_cache={workdir.parent / 'compiled'}"]
  command += [f"--config.{k}={v}" for k, v in EVALUATION.items()]
  command += [f"--config.deadlines.{k}={v}" for k, v in DEADLINES.items()]
  processes = []
  for i, log in enumerate(logs):
    several = []
    if len(logs) > 1:
      several = ["--distributed", f"--coordinator_address=127.0.0.1:{port}"]
      several += [f"--num_processes={len(logs)}", f"--process_id={i}"]
    with log.open("wb") as file:
      processes.append(
        subprocess.Popen(
          [*command, *several],
          stdout=file,
          stderr=subprocess.STDOUT,
          cwd=ROOT,
          env=os.environ
          | {
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_backend_optimization_level=0",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
          },
        )
      )
  return processes


def outcome(attempt: Attempt) -> dict[str, Any]:
  """Returns all of a finished run that must not depend on kills."""
  folder = attempt.workdir
  found = (folder / "checkpoints").iterdir()
  steps = [path for path in found if path.name.isdecimal()]
  last = max(steps, key=lambda path: int(path.name))
  rows = [
    {
      name: value
      for name, value in json.loads(line).items()
      if not name.startswith(("progress/", "goodput/"))
    }
    for line in (folder / "metrics.jsonl").read_text().splitlines()
  ]
  return {
    "scores": attempt.result(),
    "state": (last.name, (last / "fingerprint/metadata").read_text()),
    "metrics": rows,
  }
