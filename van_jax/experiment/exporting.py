"""The bundle that a finished run leaves in its workdir."""

from typing import Any

import jax
from absl import logging
from etils import epath

from van_jax import bundle as bundle_lib, data, parallel, tasks
from van_jax.experiment import sections
from van_jax.experiment.sections import Config
from van_jax.parallel import processes
from van_jax.training.run import workdir as workdir_lib
from van_jax.training.state import TrainState


def export(
  config: Config,
  workdir: epath.Path,
  model: Any,
  state: TrainState,
  mesh: jax.sharding.Mesh,
  task: tasks.Task,
  source: data.Source,
  scores: dict[str, Any],
) -> None:
  """Writes the bundle; one of an earlier end of this run is replaced.

  All processes call this, and the first one writes.

  Args:
    config: of the run.
    workdir: its folder.
    model: that was trained.
    state: the last; its averages are taken if config.evaluation says so.
    mesh: that the state lies on.
    task: of the run.
    source: its data, whose class names become the labels, and whose colours
      stay theirs.
    scores: of these weights; the task's best one is kept with them.
  """
  averaged = config.evaluation.averaged_weights
  variables = parallel.whole_on_first(state.variables(averaged=averaged), mesh)
  origin = {
    "format": "van_jax training run",
    "config": config.to_dict(),
    "step": int(state.step),
    task.best: scores[task.best],
  }

  def write():
    path = workdir / workdir_lib.BUNDLE
    bundle_lib.save_bundle(
      path,
      model=model,
      variables=variables,
      preprocessing=sections.build(config, "preprocessing"),
      labels=None if task.classes is None else source.class_names,
      colors=source.class_colors or None,
      task=config.task.name,
      source=origin,
      overwrite=True,
    )
    logging.info("Bundle written to %s", path)

  seconds = config.deadlines.save_seconds  # As long as it may take to write.
  processes.first_does("writing the bundle", write, seconds=seconds)
