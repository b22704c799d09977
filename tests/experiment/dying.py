"""Runs train.py, and dies at a given point, as a machine might let it.

python dying.py POINT --config=... --workdir=...

POINT is one of kill-after-step=N (which waits for the checkpoint of the step
before, if there is any), kill-while-writing=N, terminate-after-step=N, and
remove-after-step=N, which removes the workdir instead.
"""

import os
import pathlib
import runpy
import shutil
import signal
import sys
from collections.abc import Callable

import orbax.checkpoint as ocp
import terminating

ROOT = pathlib.Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from van_jax.training.run import progress  # noqa: E402


def die(number: int) -> None:
  """Sends this process a signal."""
  os.kill(os.getpid(), number)


def after_step(step: int, happens: Callable[[], None]) -> None:
  """Has something happen when a step is done and logged, before it is saved."""
  report = progress.Progress.report

  def report_and_more(self, current):
    scalars = report(self, current)
    if current == step:
      happens()
    return scalars

  setattr(progress.Progress, "report", report_and_more)  # noqa: B010


def while_writing(step: int) -> None:
  """Dies when a checkpoint is there in part: its arrays, not its name."""
  usual = ocp.StandardCheckpointHandler.finalize

  def finalize(self, directory):
    if any(part.startswith(f"{step}.") for part in directory.parts):
      die(signal.SIGKILL)
    usual(self, directory)

  setattr(ocp.StandardCheckpointHandler, "finalize", finalize)  # noqa: B010


def remove(folder: pathlib.Path) -> None:
  """Removes a folder that another thread may be writing to."""
  while folder.exists():
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
  """Arms the trap, then runs train.py with the arguments that are left."""
  kind, step = sys.argv.pop(1).split("=")
  flag = next(a for a in sys.argv if a.startswith("--workdir="))
  workdir = pathlib.Path(flag.partition("=")[2])
  if kind == "kill-while-writing":
    while_writing(int(step))
  else:
    happens = {
      "kill-after-step": lambda: die(signal.SIGKILL),
      "terminate-after-step": terminating.terminate,
      "remove-after-step": lambda: remove(workdir),
    }[kind]
    after_step(int(step), happens)
  runpy.run_path(str(ROOT / "train.py"), run_name="__main__")


main()
