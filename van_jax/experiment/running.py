"""A checked run in a claimed workdir, to its end."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from etils import epath

from van_jax import data, parallel, tasks
from van_jax.experiment import (
  exporting,
  out_of_memory,
  parts,
  start,
  summary,
  validation,
)
from van_jax.experiment.sections import Config
from van_jax.parallel import processes
from van_jax.training import compiling, loop
from van_jax.training.run import (
  checkpoint as checkpoint_lib,
  goodput as goodput_lib,
  interruption,
  metrics,
  peers,
  phases as phases_lib,
  profiling,
  progress as progress_lib,
  starts,
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """What stays the same while it lasts.

  Attributes:
    config: that has been checked.
    workdir: that has been claimed.
    task: what is learned.
    source: the data.
    recipe: what is trained, and how.
    mesh: of the devices.
    phases: told of each that the run is in.
    is_branch: whether it began with the state of another.
    check_ours: raises UserError when another run has the folder by now.
  """

  config: Config
  workdir: epath.Path
  task: tasks.Task
  source: data.Source
  recipe: parts.Recipe
  mesh: jax.sharding.Mesh
  phases: phases_lib.Phases
  is_branch: bool
  check_ours: Callable[[], None]


def run(own: Run, first: TrainState | None) -> Scores:
  """Trains, keeps what `training.train` says, and returns the scores.

  Args:
    own: the run.
    first: the state to start from; None for the last checkpoint's.
  """
  phases = own.phases
  with phases.phase(RESTORE):
    checkpointer = _checkpointer(own)
  with (
    starts.recorded(own.workdir),
    interruption.watch() as interrupted,  # Until all is on disk.
    _closed(checkpointer, phases),
    peers.losses_named(),
  ):
    state = first
    if state is None:
      with phases.phase(RESTORE):
        state = start.last_state(own.config, own.recipe, own.mesh, checkpointer)
    evaluate = validation.scorer(
      own.config,
      own.recipe.model,
      own.task,
      own.source,
      own.mesh,
      phases=phases,
      interrupted=interrupted,
    )
    goodput = goodput_lib.Goodput(
      own.workdir, phases, first_step=int(state.step)
    )
    summary.log(own.config, own.recipe, own.source, state, own.workdir)
    state, scores = _train(
      own, state, checkpointer, goodput, evaluate, interrupted
    )
  if not scores:
    with phases.phase(EVALUATION):
      scores = evaluate(state)
  own.check_ours()
  with phases.phase(EXPORT):
    exporting.export(
      own.config,
      own.workdir,
      own.recipe.model,
      state,
      own.mesh,
      own.task,
      own.source,
      scores,
    )
  goodput.log()
  return scores


def _train(
  own: Run,
  state: TrainState,
  checkpointer: checkpoint_lib.Checkpointer,
  goodput: goodput_lib.Goodput,
  evaluate: Callable[[TrainState], Scores],
  interrupted: Callable[[], bool],
) -> tuple[TrainState, Scores | None]:
  """Runs the loop over the batches that are left.

  Args:
    own: the run.
    state: to go on from; donated.
    checkpointer: of its states.
    goodput: accounts for its time.
    evaluate: scores a state.
    interrupted: whether it was asked to stop.
  """
  config = own.config
  progress = progress_lib.Progress(
    first_step=int(state.step),
    total_steps=own.recipe.total_steps,
    batch_size=config.batch_size,
    phases=own.phases,
  )
  step = compiling.CompiledStep(
    parts.train_step(
      config,
      own.recipe,
      own.task,
      own.mesh,
      warm_up_average=not own.is_branch,
    ),
    interrupted=interrupted,
    paused=functools.partial(own.phases.phase, COMPILE),
    xla_flags=config.xla_flags.to_dict(),
  )
  batches = parts.train_batches(config, own.source, int(state.step))
  with out_of_memory.in_training(config, lambda: step.memory):
    return _loop(
      own,
      state,
      checkpointer,
      goodput,
      train_step=step,
      batches=parallel.prefetch(batches, own.mesh),
      evaluate=evaluate,
      interrupted=interrupted,
      progress=progress,
    )


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


def _loop(
  own: Run,
  state: TrainState,
  checkpointer: checkpoint_lib.Checkpointer,
  goodput: goodput_lib.Goodput,
  **passed: Any,
) -> tuple[TrainState, Scores | None]:
  """Runs the loop, with what it writes and how often.

  Args:
    own: the run.
    state: to go on from; donated.
    checkpointer: of its states.
    goodput: accounts for its time.
    **passed: to `loop.run` as it is.
  """
  config, epoch_steps = own.config, own.recipe.epoch_steps
  first_step = int(state.step)
  unscored = first_step > 0 and checkpointer.scores(first_step) is None
  with (
    own.phases.phase(STEP),
    metrics.opened(own.workdir, last_step=first_step) as writer,
    profiling.trace_window(
      own.workdir,
      first_step=config.logging.profile_first_step,
      num_steps=config.logging.profile_steps,
    ) as observe,
  ):

    def save(step, current, scores):
      own.check_ours()
      writer.flush()
      checkpointer.save(step, current, scores)
      goodput.note(step, saved=True)

    return loop.run(
      state,
      total_steps=own.recipe.total_steps,
      write=writer.write,
      save=save,
      add_scores=checkpointer.add_scores if unscored else None,
      observe=observe,
      phases=own.phases,
      account=goodput.report,
      log_every_steps=config.logging.every_steps or _NEVER,
      eval_every_steps=_steps(config.evaluation.every_epochs, epoch_steps),
      save_every_steps=_steps(config.checkpoint.every_epochs, epoch_steps),
      **passed,
    )


def _checkpointer(own: Run) -> checkpoint_lib.Checkpointer:
  """Returns what keeps the run's states."""
  config = own.config
  return checkpoint_lib.Checkpointer(
    own.workdir / workdir_lib.CHECKPOINTS,
    keep_last=config.checkpoint.keep_last,
    keep_best=config.checkpoint.keep_best,
    best=own.task.best,
    best_mode=own.task.best_mode,
    save_seconds=config.deadlines.save_seconds,
    restore_seconds=config.deadlines.restore_seconds,
  )


def _steps(epochs: float | None, steps_per_epoch: int) -> int:
  if epochs is None or epochs == math.inf:
    return _NEVER
  return max(round(epochs * steps_per_epoch), 1)
