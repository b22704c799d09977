"""A training run, from a config to a bundle."""

import json
from typing import Any

from etils import epath

from van_jax import data, errors, places, storage, tasks
from van_jax.experiment import (
  agreement,
  branching,
  changed_arithmetic,
  classes,
  config_check,
  deadlines,
  misfits,
  out_of_memory,
  ownership,
  parts,
  recipe_task,
  run as run_lib,
  running,
  sections,
  start,
)
from van_jax.experiment.sections import Config
from van_jax.parallel import processes
from van_jax.training.run import (
  class_names,
  kept,
  peers,
  phases as phases_lib,
  shared_folder,
  watchdog,
  workdir as workdir_lib,
)
from van_jax.training.run.phases import COMPILE

Scores = dict[str, Any]


def train(
  config: Config,
  *,
  workdir: str,
  start_over: bool = False,
  init_from: str = "",
  distributed: processes.Group | None = None,
) -> Scores:
  """Trains to the end, from the last checkpoint in `workdir` if there is one.

  Writes `config.json`, `checkpoints/`, `metrics.jsonl`, TensorBoard's events
  and, at the end, `bundle/` with the last weights (averaged, if averages are
  kept).

  Args:
    config: as `configs/default.py` describes.
    workdir: the run's folder.
    start_over: sets a run that is there aside, under another name.
    init_from: of a new run: WORKDIR[:STEP|best] of another, whose parameters,
      moments and averages it starts from, its schedule at step 0.
    distributed: what is known of the other processes, which all call this;
      None where there are none.

  Returns:
    The task's scores of those weights over the whole evaluation split, those
    that are single numbers: of classification top1, top5, loss, count and
    mean_per_class_accuracy.

  Raises:
    UserError: bad input, before anything is written.
    InterruptedRunError: after SIGTERM or Ctrl-C, with the state saved.
    NonFiniteError, CheckpointError: naming the step, or the folder.
    PeerError: another process is gone; the same command goes on.
  """
  config_check.check_config(config)
  config_check.check_trainable(config)
  misfits.check_workdir(config, workdir)
  phases = phases_lib.Phases()
  with (
    watchdog.watched(
      phases, deadlines=deadlines.by_phase(config), workdir=workdir
    ),
    peers.losses_named(),
  ):
    return _opened(config, workdir, phases, start_over, init_from, distributed)


def _opened(
  config: Config,
  workdir: str,
  phases: phases_lib.Phases,
  start_over: bool,
  init_from: str,
  distributed: processes.Group | None,
) -> Scores:
  """Does what `train` says, with a config that has been checked.

  Args:
    config: of the run.
    workdir: as of `train`.
    phases: told of each that the run is in.
    start_over: as of `train`.
    init_from: as of `train`.
    distributed: as of `train`.
  """
  source, task = _checked(config, workdir, start_over)
  parts.start_devices(
    config,
    distributed=distributed,
    agree=lambda: _agree(config, workdir, source, start_over, init_from),
  )
  mesh = parts.create_mesh(config)
  misfits.check_batch_sizes(config, source, devices=mesh.size)
  config_check.abstract_variables(config)  # Or it fails in a claimed workdir.
  folder = storage.absolute(workdir)
  origin = branching.find(init_from, folder, task=task, start_over=start_over)
  recipe = parts.recipe(config, source)
  there = [] if start_over else _agreed_steps(folder)
  first = None
  if not there:
    with phases.phase(COMPILE), out_of_memory.in_training(config):
      first = start.first_state(config, recipe, mesh, origin)

  def before_claim():
    _check_nobody_came(folder, there)
    branching.record(folder, origin)

  with workdir_lib.opened(
    folder, config.to_dict(), start_over=start_over, before_claim=before_claim
  ) as check_ours:
    processes.first_does(
      "writing the class names",
      lambda: class_names.write(folder, source.class_names),
    )
    own = run_lib.Run(
      config=config,
      workdir=folder,
      task=task,
      source=source,
      recipe=recipe,
      mesh=mesh,
      phases=phases,
      is_branch=origin is not None,
      check_ours=check_ours,
    )
    return running.run(own, first)


def _checked(
  config: Config, workdir: str, start_over: bool
) -> tuple[data.Source, tasks.Task]:
  """Returns the data and the task, once folder, data and task fit the config.

  Args:
    config: of the run.
    workdir: as of `train`.
    start_over: as of `train`.
  """
  plain = config.to_dict()
  if not start_over:
    ownership.check(workdir, plain)
    changed_arithmetic.warn(workdir, plain)
  places.check_writable(workdir, "workdir", inside=True)
  source = sections.build(config, "data")
  task = recipe_task.create_task(config)
  misfits.check_source(config, source, task)
  if not start_over:
    class_names.check(workdir, source.class_names)
  classes.report_absent(source)
  return source, task


def _agree(
  config: Config,
  workdir: str,
  source: data.Source,
  start_over: bool,
  init_from: str,
) -> None:
  """Raises UserError unless all processes do the same, in the same folder.

  Args:
    config: of the run.
    workdir: as of `train`.
    source: the data that this process sees.
    start_over: as of `train`.
    init_from: as of `train`.
  """
  agreement.check(
    config,
    start_over=start_over,
    init_from=init_from,
    **agreement.of_source(source),
  )
  shared_folder.check(workdir)


def _steps_in(workdir: epath.Path) -> list[int]:
  """Returns the steps of a workdir's checkpoints."""
  return kept.steps(workdir / workdir_lib.CHECKPOINTS)


def _agreed_steps(workdir: epath.Path) -> list[int]:
  """Returns the steps that the first process sees, in all of them.

  A network file system may show another host an older folder.
  """
  mine = json.dumps(_steps_in(workdir))
  return json.loads(processes.broadcast("steps in the workdir", mine))


def _check_nobody_came(workdir: epath.Path, there: list[int]) -> None:
  """Raises UserError where another run has saved since we looked.

  Two that are started at once see the same folder, and only one of them can
  lock it first; what the other found there, and decided by, is past.
  """
  if (now := _steps_in(workdir)) != there:
    raise errors.UserError(
      f"workdir={workdir} had checkpoints of steps {there} when this run "
      f"looked, and has {now} now: another run was started in it meanwhile. "
      "Run the same command again to go on from there."
    )
