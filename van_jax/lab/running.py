"""A planned training, to its end or to Ctrl-C: train.py's step, in its loop.

No file is written: what a run keeps on disk there is handed back here.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from absl import logging
from jax.sharding import Mesh

from van_jax import data, errors, ops, parallel
from van_jax.evaluation import evaluator
from van_jax.lab import history, progress_bar
from van_jax.lab.fitted import Fit
from van_jax.lab.planning import Plan
from van_jax.training import compiling, first_state, loop, step as step_lib
from van_jax.training.recipe import freezing
from van_jax.training.run import interruption, phases as phases_lib
from van_jax.training.run.progress import Progress
from van_jax.training.state import TrainState

_NEVER = 1 << 62  # Steps; the last step has everything all the same.
Scores = dict[str, float]


class _Kept:
  """What is handed back: the newest state that is whole, and all scores."""

  def __init__(self, state: TrainState):
    self.state = state
    self.recorder = history.Recorder()
    self.scores: dict[int, Scores] = {}  # By step.

  def save(self, step: int, state: TrainState, scores: Scores | None) -> None:
    """Takes a state that no later step consumes."""
    del step, scores
    self.state = state


def run(plan: Plan, *, title: str = "", shown: bool | None = None) -> Fit:
  """Trains, and returns what came of it.

  Args:
    plan: of the training.
    title: before the bar.
    shown: whether there is a bar; None for where somebody may be watching.

  Raises:
    UserError: where a metric is NaN or infinite, naming its step.
    KeyboardInterrupt: at a second Ctrl-C.
  """
  if getattr(plan.model, "implementation", None) == "auto":
    ops.verify_kernels()  # Before anything is traced.
  mesh = parallel.create_mesh()
  with interruption.watch() as interrupted:
    kept = _Kept(_first_state(plan, mesh))
    try:
      with progress_bar.opened(
        plan.total_steps, title=title, shown=shown
      ) as bar:
        _train(plan, mesh, kept, bar, interrupted)
    except loop.InterruptedRunError as stopped:
      logging.warning(
        "Stopped after step %d of %d; what there is of the fit is returned.",
        stopped.step,
        plan.total_steps,
      )
    except loop.NonFiniteError as error:
      raise errors.UserError(
        f"{error.what}; lower learning_rate={plan.told['learning_rate']}, clip "
        "gradients (optimizer={'gradient_clip_norm': 1.0}), or train in "
        "float32."
      ) from error
  return _fit(plan, mesh, kept)


def _first_state(plan: Plan, mesh: Mesh) -> TrainState:
  create = first_state.creator(
    plan.model,
    plan.optimizer,
    image_size=plan.augmentation.image_size,
    seed=plan.seed,
    averages=plan.average is not None,
    head_scale=plan.head_scale,
  )
  return first_state.place(create, plan.variables, mesh)


def _train(
  plan: Plan,
  mesh: Mesh,
  kept: _Kept,
  bar: progress_bar.Bar,
  interrupted: Callable[[], bool],
) -> None:
  """Runs the loop; what it leaves is in `kept`."""
  phases = phases_lib.Phases()
  step = compiling.CompiledStep(
    _train_step(plan, mesh),
    interrupted=interrupted,
    paused=functools.partial(phases.phase, phases_lib.COMPILE),
  )
  batches: Any = parallel.prefetch(
    data.train_batches(
      plan.source,
      augmentation=plan.augmentation,
      batch_size=plan.batch_size,
      seed=plan.seed,
    ),
    mesh,
  )

  def write(number, scalars):
    kept.recorder.write(number, scalars)
    bar.note(scalars)

  with contextlib.closing(batches), phases.phase(phases_lib.STEP):
    loop.run(
      kept.state,
      total_steps=plan.total_steps,
      train_step=step,
      batches=batches,
      write=write,
      evaluate=_scorer(plan, mesh, kept, interrupted),
      save=kept.save,
      interrupted=interrupted,
      observe=bar.start,
      phases=phases,
      progress=Progress(
        first_step=0,
        total_steps=plan.total_steps,
        batch_size=plan.batch_size,
        phases=phases,
      ),
      account=lambda number: {},
      log_every_steps=plan.log_steps,
      eval_every_steps=plan.eval_steps,
      save_every_steps=_NEVER,
    )


def _train_step(plan: Plan, mesh: Mesh) -> step_lib.Step:
  return step_lib.make_train_step(
    apply=plan.model.apply,
    optimizer=plan.optimizer,
    schedule=plan.schedule,
    prepare=plan.task.prepare,
    loss=plan.task.loss,
    root_key=jax.random.key(plan.seed),
    mesh=mesh,
    accumulation_steps=plan.accumulation_steps,
    freeze=functools.partial(
      freezing.stop_frozen, patterns=plan.frozen_patterns
    ),
    average=plan.average,
  )


def _scorer(
  plan: Plan, mesh: Mesh, kept: _Kept, interrupted: Callable[[], bool]
) -> Callable[[TrainState], Scores]:
  """Returns the function that scores a state; none of no evaluation data."""
  if plan.source.evaluation is None:
    return lambda state: {}
  step = evaluator.make_eval_step(
    apply=plan.model.apply,
    inputs=plan.task.inputs,
    sums=plan.task.sums,
    mesh=mesh,
  )
  batches = data.eval_batches(
    plan.source,
    batch_size=plan.eval_batch_size,
    preprocessing=plan.preprocessing,
  )

  def watched(done: int) -> Iterator[Any]:
    for batch in parallel.prefetch(batches, mesh):
      if interrupted():
        raise loop.InterruptedRunError(done)
      yield batch

  def evaluate(state: TrainState) -> Scores:
    done, variables = int(state.step), state.variables(averaged=True)
    scores = evaluator.single_numbers(
      evaluator.evaluate(step, variables, watched(done), plan.task.scores)
    )
    kept.scores[done] = scores
    return scores

  return evaluate


def _fit(plan: Plan, mesh: Mesh, kept: _Kept) -> Fit:
  """Returns what was kept, on the first device, where users go on with it."""
  variables = kept.state.variables(averaged=True)
  step = int(kept.state.step)
  # Ctrl-C in the last evaluation leaves the last weights without scores.
  is_scored = plan.source.evaluation is None or step in kept.scores
  return Fit(
    model=plan.model,
    variables=jax.tree.map(
      jnp.asarray, parallel.whole_on_first(variables, mesh)
    ),
    history=kept.recorder.history(plan.epoch_steps),
    scores=kept.scores[max(kept.scores)] if kept.scores else {},
    best=_best(plan, kept.scores),
    preprocessing=plan.preprocessing,
    labels=plan.source.class_names,
    step=step,
    total_steps=plan.total_steps,
    is_whole=step == plan.total_steps and is_scored,
    told={**plan.told, "seed": plan.seed},
  )


def _best(plan: Plan, scores: dict[int, Scores]) -> Scores:
  """Returns the best scores, of equals the first, and their epoch."""
  if not scores:
    return {}
  name, sign = plan.task.best, 1 if plan.task.best_mode == "max" else -1
  step = max(sorted(scores), key=lambda s: sign * scores[s][name])
  return {"epoch": step / plan.epoch_steps, **scores[step]}
