"""Runs train.py, and dies at a given point, as a machine might let it.

python dying.py POINT --config=... --workdir=...

POINT is one of kill-after-step=N (which waits for the checkpoint of the step
before, if there is any), kill-while-writing=N, and terminate-after-step=N.
"""

import itertools
import os
import pathlib
import runpy
import signal
import sys
import threading
import time

ROOT = pathlib.Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from van_jax.training.run import progress  # noqa: E402


def die(number: int) -> None:
  """Sends this process a signal."""
  os.kill(os.getpid(), number)


def after_step(step: int, number: int) -> None:
  """Dies when a step is done and logged, before it is saved."""
  report = progress.Progress.report

  def report_and_die(self, current):
    scalars = report(self, current)
    if current == step:
      die(number)
    return scalars

  setattr(progress.Progress, "report", report_and_die)  # noqa: B010


def while_writing(checkpoints: pathlib.Path, step: int) -> None:
  """Dies as soon as a checkpoint is there in part."""

  def watch():
    for _ in itertools.count():
      for path in checkpoints.glob(f"{step}*"):
        if not (path / "commit_success.txt").exists():
          die(signal.SIGKILL)
      time.sleep(1e-4)

  threading.Thread(target=watch, daemon=True).start()


def main() -> None:
  """Arms the trap, then runs train.py with the arguments that are left."""
  kind, step = sys.argv.pop(1).split("=")
  workdir = next(a for a in sys.argv if a.startswith("--workdir="))
  if kind == "kill-while-writing":
    folder = pathlib.Path(workdir.partition("=")[2]) / "checkpoints"
    while_writing(folder, int(step))
  else:
    kill = kind == "kill-after-step"
    after_step(int(step), signal.SIGKILL if kill else signal.SIGTERM)
  runpy.run_path(str(ROOT / "train.py"), run_name="__main__")


main()
