"""A training run, from a config to a bundle."""

import contextlib
import functools
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from etils import epath

from van_jax import data, errors, parallel, storage, tasks
from van_jax.experiment import (
  agreement,
  branching,
  changed_arithmetic,
  classes,
  config_check,
  deadlines,
  exporting,
  misfits,
  out_of_memory,
  ownership,
  parts,
  recipe_task,
  sections,
  start,
  summary,
  validation,
)
from van_jax.experiment.sections import Config
from van_jax.parallel import processes
from van_jax.training import compiling, loop
from van_jax.training.run import (
  checkpoint as checkpoint_lib,
  class_names,
  goodput as goodput_lib,
  interruption,
  metrics,
  peers,
  phases as phases_lib,
  profiling,
  progress as progress_lib,
  shared_folder,
  watchdog,
  workdir as workdir_lib,
)
from van_jax.training.run.phases import (
  COMPILE,
  EVALUATION,
  EXPORT,
  RESTORE,
  SAVE,
  STEP,
)
from van_jax.training.state import TrainState

Scores = dict[str, Any]

_NEVER = 1 << 62  # Steps; the last step has everything all the same.


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
  plain = config.to_dict()
  if not start_over:
    ownership.check(workdir, plain)
    changed_arithmetic.warn(workdir, plain)
  storage.check_writable(workdir, "workdir", inside=True)
  source = sections.build(config, "data")
  task = recipe_task.create_task(config)
  misfits.check_source(config, source, task)
  if not start_over:
    class_names.check(workdir, source.class_names)
  classes.report_absent(source)

  def agree():
    agreement.check(
      config,
      start_over=start_over,
      init_from=init_from,
      **agreement.of_source(source),
    )
    shared_folder.check(workdir)

  parts.start_devices(config, distributed=distributed, agree=agree)
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
    folder, plain, start_over=start_over, before_claim=before_claim
  ) as check_ours:
    processes.first_does(
      "writing the class names",
      lambda: class_names.write(folder, source.class_names),
    )
    return _train(
      config,
      folder,
      task,
      source,
      recipe,
      mesh,
      first,
      phases,
      is_branch=origin is not None,
      check_ours=check_ours,
    )


def _steps_in(workdir: epath.Path) -> list[int]:
  """Returns the steps of a workdir's checkpoints."""
  return checkpoint_lib.steps(workdir / workdir_lib.CHECKPOINTS)


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


def _train(
  config: Config,
  workdir: epath.Path,
  task: tasks.Task,
  source: data.Source,
  recipe: parts.Recipe,
  mesh: jax.sharding.Mesh,
  first: TrainState | None,
  phases: phases_lib.Phases,
  *,
  is_branch: bool,
  check_ours: Callable[[], None],
) -> Scores:
  """Does what `train` says, with input that has been checked.

  Args:
    config: that has been checked.
    workdir: that has been claimed.
    task: of the run.
    source: its data.
    recipe: what is trained, and how.
    mesh: of the devices.
    first: to start from; None for the last checkpoint's.
    phases: told of each that the run is in.
    is_branch: whether the run began with the state of another.
    check_ours: raises UserError when another run has the folder by now.
  """
  with phases.phase(RESTORE):
    checkpointer = _checkpointer(config, workdir, task)
  with (
    interruption.watch() as interrupted,  # Until all is on disk.
    _closed(checkpointer, phases),
    peers.losses_named(),
  ):
    state = first
    if state is None:
      with phases.phase(RESTORE):
        state = start.last_state(config, recipe, mesh, checkpointer)
    evaluate = validation.scorer(
      config,
      recipe.model,
      task,
      source,
      mesh,
      phases=phases,
      interrupted=interrupted,
    )
    goodput = goodput_lib.Goodput(workdir, phases, first_step=int(state.step))
    summary.log(config, recipe, source, state, workdir)
    progress = progress_lib.Progress(
      first_step=int(state.step),
      total_steps=recipe.total_steps,
      batch_size=config.batch_size,
      phases=phases,
    )
    step = compiling.CompiledStep(
      parts.train_step(
        config, recipe, task, mesh, warm_up_average=not is_branch
      ),
      interrupted=interrupted,
      paused=functools.partial(phases.phase, COMPILE),
      xla_flags=config.xla_flags.to_dict(),
    )
    batches = parts.train_batches(config, source, int(state.step))
    with out_of_memory.in_training(config, lambda: step.memory):
      state, scores = _run(
        config,
        workdir,
        state,
        recipe,
        checkpointer,
        check_ours,
        goodput,
        train_step=step,
        batches=parallel.prefetch(batches, mesh),
        evaluate=evaluate,
        interrupted=interrupted,
        phases=phases,
        progress=progress,
      )
  if not scores:
    with phases.phase(EVALUATION):
      scores = evaluate(state)
  check_ours()
  with phases.phase(EXPORT):
    exporting.export(
      config, workdir, recipe.model, state, mesh, task, source, scores
    )
  goodput.log()
  return scores


@contextlib.contextmanager
def _closed(
  checkpointer: checkpoint_lib.Checkpointer, phases: phases_lib.Phases
) -> Iterator[None]:
  """Closes a checkpointer at the end, with all on disk.

  Unless one of several processes has failed by itself: Orbax would wait for
  the others, who are elsewhere.
  """
  agreed = (loop.InterruptedRunError, loop.NonFiniteError)
  try:
    yield
  except BaseException as error:
    if not processes.several() or isinstance(error, agreed):
      with phases.phase(SAVE):
        checkpointer.close()
    raise
  with phases.phase(SAVE):
    checkpointer.close()


def _run(
  config: Config,
  workdir: epath.Path,
  state: TrainState,
  recipe: parts.Recipe,
  checkpointer: checkpoint_lib.Checkpointer,
  check_ours: Callable[[], None],
  goodput: goodput_lib.Goodput,
  *,
  phases: phases_lib.Phases,
  **passed: Any,
) -> tuple[TrainState, Scores | None]:
  """Runs the loop, with what it writes and how often.

  Args:
    config: of the run.
    workdir: its folder.
    state: to go on from; donated.
    recipe: of the run.
    checkpointer: of its states.
    check_ours: as of `_train`.
    goodput: accounts for its time.
    phases: told of each that the run is in.
    **passed: to `loop.run` as it is.
  """
  first_step = int(state.step)
  unscored = first_step > 0 and checkpointer.scores(first_step) is None
  with (
    phases.phase(STEP),
    metrics.opened(workdir, last_step=first_step) as writer,
    profiling.trace_window(
      workdir,
      first_step=config.logging.profile_first_step,
      num_steps=config.logging.profile_steps,
    ) as observe,
  ):

    def save(step, current, scores):
      check_ours()
      writer.flush()
      checkpointer.save(step, current, scores)
      goodput.note(step, saved=True)

    return loop.run(
      state,
      total_steps=recipe.total_steps,
      write=writer.write,
      save=save,
      add_scores=checkpointer.add_scores if unscored else None,
      observe=observe,
      phases=phases,
      account=goodput.report,
      log_every_steps=config.logging.every_steps or _NEVER,
      eval_every_steps=_steps(
        config.evaluation.every_epochs, recipe.epoch_steps
      ),
      save_every_steps=_steps(
        config.checkpoint.every_epochs, recipe.epoch_steps
      ),
      **passed,
    )


def _checkpointer(
  config: Config, workdir: epath.Path, task: tasks.Task
) -> checkpoint_lib.Checkpointer:
  """Returns what keeps the run's states."""
  return checkpoint_lib.Checkpointer(
    workdir / workdir_lib.CHECKPOINTS,
    keep_last=config.checkpoint.keep_last,
    keep_best=config.checkpoint.keep_best,
    best=task.best,
    best_mode=task.best_mode,
    save_seconds=config.deadlines.save_seconds,
    restore_seconds=config.deadlines.restore_seconds,
  )


def _steps(epochs: float | None, steps_per_epoch: int) -> int:
  if epochs is None or epochs == math.inf:
    return _NEVER
  return max(round(epochs * steps_per_epoch), 1)
