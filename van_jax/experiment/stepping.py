"""The steps of a run: its loop, with what it writes and how often."""

import functools
import math
from collections.abc import Callable
from typing import Any

from van_jax import parallel
from van_jax.experiment import out_of_memory, parts
from van_jax.experiment.run import Run
from van_jax.training import compiling, loop
from van_jax.training.run import (
  checkpoint as checkpoint_lib,
  goodput as goodput_lib,
  metrics,
  profiling,
  progress as progress_lib,
)
from van_jax.training.run.phases import COMPILE, STEP
from van_jax.training.state import TrainState

Scores = dict[str, Any]

_NEVER = 1 << 62  # Steps; the last step has everything all the same.


def train(
  own: Run,
  state: TrainState,
  *,
  checkpointer: checkpoint_lib.Checkpointer,
  goodput: goodput_lib.Goodput,
  evaluate: Callable[[TrainState], Scores],
  interrupted: Callable[[], bool],
) -> tuple[TrainState, Scores | None]:
  """Does the steps that are left, and keeps what comes of them.

  Args:
    own: the run.
    state: to go on from; donated.
    checkpointer: of its states.
    goodput: accounts for its time.
    evaluate: scores a state.
    interrupted: whether it was asked to stop.

  Returns:
    The last state, and its scores; None if no step was left.
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
    # Imports TensorFlow, for seconds in which no step is done.
    metrics.opened(own.workdir, last_step=first_step) as writer,
    own.phases.phase(STEP),
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


def _steps(epochs: float | None, steps_per_epoch: int) -> int:
  if epochs is None or epochs == math.inf:
    return _NEVER
  return max(round(epochs * steps_per_epoch), 1)
