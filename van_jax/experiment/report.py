"""A report of runs: one page with what they measured, and what they answer."""

import dataclasses
import json
import os
import runpy
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from van_jax import errors, imports, places, storage
from van_jax.analysis import report as report_lib
from van_jax.analysis.report import Run
from van_jax.cli import config_files
from van_jax.data import arguments
from van_jax.experiment import examining, old_configs, recipe_task

IMAGES = 8  # To show of each run.


def write_report(
  workdirs: Sequence[str | os.PathLike[str]],
  *,
  output: str,
  images: int = IMAGES,
  step: str = "latest",
  data_directory: str | None = None,
  overwrite: bool = False,
) -> dict[str, Any]:
  """Writes a page about one run or several, which needs nothing beside it.

  Runs may be going on, broken off or damaged: the page says what is not there.
  With `images` each run's weights are scored on its evaluation split, unless
  its workdir has a predictions.csv of eval.py.

  Args:
    workdirs: of the runs, in the order of the page.
    output: an HTML file; its folder is made.
    images: to show of each run, half of them wrong; 0 scores nothing.
    step: of the checkpoints: "latest", "best" or a number.
    data_directory: where the data lies, in place of what the configs say.
    overwrite: whether `output` may be there already.

  Returns:
    output; runs, how many; and scored, of how many there are answers.

  Raises:
    UserError: a workdir that holds no run, or an output that may not be
      written, before anything is scored.
  """
  if isinstance(workdirs, str | os.PathLike):
    raise errors.UserError(
      f"workdirs={os.fspath(workdirs)!r} must be a list of folders; write "
      f"[{os.fspath(workdirs)!r}]."
    )
  if not workdirs:
    raise errors.UserError(
      "WORKDIR... names no run; name one or more folders that train.py wrote."
    )
  arguments.check_whole("images", images, 0)
  path = places.check_file(
    output, "output", kinds=(".html", ".htm"), overwrite=overwrite
  )
  runs = [_in_todays_keys(run) for run in report_lib.read(workdirs)]
  request = examining.Request(
    images=images, step=step, data_directory=data_directory
  )
  examined = [examining.examine(run, request) for run in runs]
  text = report_lib.page(runs, examined, default=_default(), made=time.time())
  with storage.replacing(path) as draft:
    draft.write_text(text, encoding="utf-8")
  scored = sum(found.answers is not None for found in examined)
  return {"output": os.fspath(path), "runs": len(runs), "scored": scored}


def _in_todays_keys(run: Run) -> Run:
  """Returns a run with its config in the keys of now, and its best score.

  A stranger's task is not imported because a file names it.
  """
  try:
    config = old_configs.upgrade(run.config)
    run = dataclasses.replace(run, config=config)
    if imports.is_path(config["task"]["name"]):
      return run
    task = recipe_task.create_task(ml_collections.ConfigDict(config))
    return dataclasses.replace(run, best=task.best, best_mode=task.best_mode)
  except (errors.UserError, KeyError, TypeError, AttributeError) as error:
    if not run.config:
      return run  # It is said that it cannot be read.
    problem = f"config.json is incomplete: {' '.join(str(error).split())}"
    return dataclasses.replace(run, problems=(*run.problems, problem))


def _default() -> Mapping[str, Any]:
  """Returns the values of configs/default.py, as JSON has them."""
  path = config_files.home() / "configs" / "default.py"
  config = runpy.run_path(os.fspath(path))["get_config"]()
  return json.loads(config.to_json())
