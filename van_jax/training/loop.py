"""The training loop: step, log, evaluate, save; stops on request or NaN."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from van_jax import errors
from van_jax.training.run.phases import EVALUATION, SAVE, Phases
from van_jax.training.run.progress import Progress
from van_jax.training.state import TrainState

Scalars = dict[str, float]


class NonFiniteError(errors.UserError):
  """A metric of a step was NaN or infinite.

  Attributes:
    what: the metric, its value and its step, in words.
  """

  def __init__(self, what: str, remedy: str = ""):
    super().__init__(f"{what}. {remedy}" if remedy else what)
    self.what = what


class InterruptedRunError(RuntimeError):
  """The run was asked to stop, and its state of `step` is on disk."""

  def __init__(self, step: int):
    what = (
      f"after step {step}; state saved" if step else "before the first step"
    )
    super().__init__(f"stopped on request {what}")
    self.step = step


def run(
  state: TrainState,
  *,
  total_steps: int,
  train_step: Callable[..., tuple[TrainState, dict[str, Any]]],
  batches: Iterator[Any],
  write: Callable[[int, Mapping[str, float]], None],
  evaluate: Callable[[TrainState], Scalars],
  save: Callable[[int, TrainState, Scalars | None], None],
  interrupted: Callable[[], bool],
  observe: Callable[[int], None],
  phases: Phases,
  progress: Progress,
  account: Callable[[int], Mapping[str, float]],
  add_scores: Callable[[int, Scalars], None] | None = None,
  log_every_steps: int,
  eval_every_steps: int,
  save_every_steps: int,
) -> tuple[TrainState, Scalars | None]:
  """Trains to `total_steps`, from wherever `state` stands.

  Steps count updates done, from 1. Every metric of every step is looked at
  before anything that follows from that step is saved.

  Args:
    state: the state to go on from; donated.
    total_steps: updates done at the end.
    train_step: `(state, batch) -> (state, metrics)`.
    batches: device batches; the first belongs to step `state.step + 1`.
    write: takes a step and its scalars.
    evaluate: scores a state, or raises InterruptedRunError.
    save: takes a step, its state, and its scores if it was evaluated.
    interrupted: asked after each step whether to save and stop.
    observe: told of each step before it starts; the profiler's window.
    phases: told of saves and evaluations.
    progress: measures speed and time left.
    account: takes steps done; returns where time went, to be written.
    add_scores: takes a step and the scores that its checkpoint lacks; None
      where `state` comes from no checkpoint, or from one with its scores.
    log_every_steps: steps between two writes of the training metrics.
    eval_every_steps: steps between two evaluations; the last step has one.
    save_every_steps: steps between two saves; the last step has one.

  Returns:
    The last state, and its scores (None if no step was left to do).

  Raises:
    NonFiniteError: at the first NaN or infinite metric, naming its step.
    InterruptedRunError: when asked to stop, after saving.
  """
  scores, unchecked = None, None
  done = int(state.step)
  if add_scores and done and _due(done, eval_every_steps, total_steps):
    # A run that stops on request leaves its evaluation to the next.
    scores = _evaluate(done, state, evaluate, write, phases)
    if scores is None:
      raise InterruptedRunError(done)
    if _due(done, save_every_steps, total_steps):
      add_scores(done, scores)  # As if it had been saved with them.
  for step in range(done + 1, total_steps + 1):
    observe(step)
    with progress.waiting_for_data():
      batch = next(batches)
    state, metrics = train_step(state, batch)
    progress.follow(metrics)
    if unchecked:
      _finite(*unchecked)  # One step behind: the device never waits for it.
    unchecked = (step, metrics)

    stop = interrupted()
    due_eval = _due(step, eval_every_steps, total_steps)
    due_save = _due(step, save_every_steps, total_steps)
    due_log = _due(step, log_every_steps, total_steps)
    if due_eval or due_save or due_log or stop:
      scalars = _finite(step, metrics)
      unchecked = None
      if due_log:
        write(step, {**scalars, **progress.report(step), **account(step)})
    scores = None
    if due_eval and not stop:
      scores = _evaluate(step, state, evaluate, write, phases)
      stop = scores is None
    if due_save or stop:
      with phases.phase(SAVE):
        save(step, state, scores)
    if stop:
      raise InterruptedRunError(step)
  return state, scores


def _due(step: int, every_steps: int, total_steps: int) -> bool:
  return step % every_steps == 0 or step == total_steps


def _evaluate(
  step: int,
  state: TrainState,
  evaluate: Callable[[TrainState], Scalars],
  write: Callable[[int, Mapping[str, float]], None],
  phases: Phases,
) -> Scalars | None:
  """Returns the scores of a state, written as `eval/NAME`.

  None where it was interrupted: the run that goes on makes up for it.
  """
  with phases.phase(EVALUATION):
    try:
      scores = evaluate(state)
    except InterruptedRunError:
      return None
  write(step, {f"eval/{name}": value for name, value in scores.items()})
  return scores


def _finite(step: int, metrics: Mapping[str, jax.Array]) -> Scalars:
  """Returns metrics as `train/NAME` floats, or raises NonFiniteError."""
  scalars = {k: float(v) for k, v in jax.device_get(metrics).items()}
  for name, value in scalars.items():
    if not math.isfinite(value):
      raise NonFiniteError(
        f"{name} is {value} at step {step}",
        "Checkpoints saved before it are kept; lower schedule.learning_rate, "
        "clip gradients (optimizer.gradient_clip_norm), or train in float32.",
      )
  return {f"train/{name}": value for name, value in scalars.items()}
