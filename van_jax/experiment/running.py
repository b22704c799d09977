"""A checked run in a claimed workdir, to its end."""

import contextlib
from collections.abc import Iterator
from typing import Any

from van_jax.experiment import exporting, start, stepping, summary, validation
from van_jax.experiment.run import Run
from van_jax.parallel import processes
from van_jax.training import loop
from van_jax.training.run import (
  checkpoint as checkpoint_lib,
  goodput as goodput_lib,
  interruption,
  peers,
  phases as phases_lib,
  starts,
  workdir as workdir_lib,
)
from van_jax.training.run.phases import EVALUATION, EXPORT, RESTORE, SAVE
from van_jax.training.state import TrainState

Scores = dict[str, Any]


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
    state, scores = stepping.train(
      own,
      state,
      checkpointer=checkpointer,
      goodput=goodput,
      evaluate=evaluate,
      interrupted=interrupted,
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
