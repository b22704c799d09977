"""A training run, from a config to a bundle."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from absl import logging
from etils import epath

from van_jax import bundle as bundle_lib, data, errors, parallel, tasks
from van_jax.evaluation import evaluator
from van_jax.experiment import (
  config_check,
  misfits,
  old_configs,
  parts,
  recipe_task,
  sections,
  start,
)
from van_jax.experiment.sections import Config
from van_jax.training import loop
from van_jax.training.recipe import schedules
from van_jax.training.run import (
  checkpoint as checkpoint_lib,
  history as history_lib,
  interruption,
  profiling,
  progress as progress_lib,
  workdir as workdir_lib,
)
from van_jax.training.state import TrainState

Scores = dict[str, Any]

# What a run reports or keeps, and not what it computes: free to change.
_FREE = (
  "checkpoint",
  "compilation_cache",
  "data.directory",
  "data.on_damaged",  # Whoever meets one late goes on past it.
  "evaluation",
  "logging",
)


def train(
  config: Config,
  *,
  workdir: str,
  start_over: bool = False,
  distributed: bool = False,
) -> Scores:
  """Trains to the end, from the last checkpoint in `workdir` if there is one.

  Writes `config.json`, `checkpoints/`, `metrics.jsonl`, TensorBoard's events
  and, at the end, `bundle/` with the last weights (averaged, if averages are
  kept).

  Args:
    config: as `configs/default.py` describes.
    workdir: the run's folder.
    start_over: sets a run that is there aside, under another name.
    distributed: whether this is one of several processes that all call this.

  Returns:
    The task's scores of those weights over the whole evaluation split, those
    that are single numbers: of classification top1, top5, loss, count and
    mean_per_class_accuracy.

  Raises:
    UserError: bad input, before anything is written.
    InterruptedRunError: after SIGTERM, with the state saved.
    NonFiniteError, CheckpointError: naming the step, or the folder.
  """
  config_check.check_config(config)
  plain = config.to_dict()
  if not start_over:
    workdir_lib.check_owner(
      workdir, plain, free=_FREE, upgrade=old_configs.upgrade
    )
  source = sections.build(config, "data")
  task = recipe_task.create_task(config)
  misfits.check_source(config, source, task)
  parts.start_devices(config, distributed=distributed)
  misfits.check_batch_sizes(config, source)
  config_check.abstract_variables(config)  # Or it fails in a claimed workdir.
  # On devices: after they have been joined.
  initial = start.pretrained_variables(config)
  with workdir_lib.opened(workdir, plain, start_over=start_over) as folder:
    return _train(config, folder, task, source, initial)


def _train(
  config: Config,
  workdir: epath.Path,
  task: tasks.Task,
  source: data.Source,
  initial: Mapping[str, Any] | None,
) -> Scores:
  """Does what `train` says, with input that has been checked."""
  mesh = parallel.create_mesh()
  model = sections.build(config, "model")
  epoch = source.num_train // config.batch_size  # Steps.
  total_steps = schedules.total_steps(
    epochs=config.schedule.epochs,
    cooldown_epochs=config.schedule.cooldown_epochs,
    steps_per_epoch=epoch,
  )
  schedule = sections.build(config, "schedule", steps_per_epoch=epoch)
  optimizer = sections.build(config, "optimizer", schedule=schedule)
  checkpointer = checkpoint_lib.Checkpointer(
    workdir / workdir_lib.CHECKPOINTS,
    keep_last=config.checkpoint.keep_last,
    keep_best=config.checkpoint.keep_best,
    best=task.best,
    best_mode=task.best_mode,
  )
  evaluate = _evaluation(config, model, task, source, mesh)
  with (
    contextlib.closing(checkpointer),
    _metric_writer(workdir) as writer,
    interruption.watch_sigterm() as interrupted,
    profiling.trace_window(
      workdir,
      first_step=config.logging.profile_first_step,
      num_steps=config.logging.profile_steps,
    ) as observe,
  ):
    state = start.last_or_first_state(
      config, model, optimizer, checkpointer, mesh, initial
    )
    first_step = int(state.step)
    history = history_lib.HistoryWriter(workdir, last_step=first_step)

    def write(step, scalars):
      writer.write_scalars(step, scalars)
      history.write(step, scalars)

    def save(step, current, scores):
      writer.flush()  # Or a kill would leave a gap before the checkpoint.
      history.flush()
      checkpointer.save(step, current, scores)

    state, scores = loop.run(
      state,
      total_steps=total_steps,
      train_step=parts.train_step(
        config, model, task, optimizer, schedule, mesh
      ),
      batches=parallel.prefetch(
        parts.train_batches(config, source, first_step), mesh
      ),
      write=write,
      evaluate=evaluate,
      save=save,
      interrupted=interrupted,
      observe=observe,
      progress=progress_lib.Progress(
        first_step=first_step,
        total_steps=total_steps,
        batch_size=config.batch_size,
      ),
      log_every_steps=config.logging.every_steps,
      eval_every_steps=_steps(config.evaluation.every_epochs, epoch),
      save_every_steps=_steps(config.checkpoint.every_epochs, epoch),
    )
  scores = scores or evaluate(state)
  if jax.process_index() == 0:
    _export(config, workdir, model, state, task, source, scores)
  return scores


def _steps(epochs: float, steps_per_epoch: int) -> int:
  return max(round(epochs * steps_per_epoch), 1)


def _evaluation(
  config: Config,
  model: Any,
  task: tasks.Task,
  source: data.Source,
  mesh: jax.sharding.Mesh,
) -> Callable[[TrainState], Scores]:
  """Returns the function that scores a state."""
  preprocessing = sections.build(config, "preprocessing")
  eval_step = parts.eval_step(model, task, mesh)
  batches = parts.eval_batches(config, source, preprocessing)

  def evaluate(state):
    variables = state.variables(averaged=config.evaluation.averaged_weights)
    device_batches = parallel.prefetch(batches, mesh)
    scores = parts.summary(
      evaluator.evaluate(eval_step, variables, device_batches, task.scores)
    )
    if task.best not in scores:
      raise errors.UserError(
        f"task.best={task.best!r} must be a number among the task's scores, "
        f"{', '.join(scores)}; checkpoints are kept by it."
      )
    return scores

  return evaluate


@contextlib.contextmanager
def _metric_writer(workdir: epath.Path) -> Iterator[Any]:
  """Yields clu's writer of scalars: to TensorBoard and to the log."""
  from clu import metric_writers  # Imports TensorFlow: seconds.

  writer = metric_writers.create_default_writer(
    workdir, just_logging=jax.process_index() > 0
  )

  with contextlib.closing(writer):
    yield writer


def _export(
  config: Config,
  workdir: epath.Path,
  model: Any,
  state: TrainState,
  task: tasks.Task,
  source: data.Source,
  scores: Scores,
) -> None:
  """Writes the bundle of a finished run."""
  bundle_lib.save_bundle(
    workdir / "bundle",
    model=model,
    variables=state.variables(averaged=config.evaluation.averaged_weights),
    preprocessing=sections.build(config, "preprocessing"),
    labels=None if task.classes is None else source.class_names,
    task=config.task.name,
    source={
      "format": "van_jax training run",
      "config": config.to_dict(),
      "step": int(state.step),
      task.best: scores[task.best],
    },
    overwrite=True,  # Of an earlier export of this same run.
  )
  logging.info("Bundle written to %s", workdir / "bundle")
