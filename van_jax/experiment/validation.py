"""The scores of a run's states, on its evaluation split."""

from collections.abc import Callable
from typing import Any

import jax

from van_jax import data, errors, parallel, tasks
from van_jax.evaluation import evaluator
from van_jax.experiment import agreement, out_of_memory, parts, sections
from van_jax.experiment.sections import Config
from van_jax.training import loop
from van_jax.training.run.phases import COMPILE, EVALUATION, Phases
from van_jax.training.state import TrainState

Scores = dict[str, Any]


def scorer(
  config: Config,
  model: Any,
  task: tasks.Task,
  source: data.Source,
  mesh: jax.sharding.Mesh,
  *,
  phases: Phases,
  interrupted: Callable[[], bool],
) -> Callable[[TrainState], Scores]:
  """Returns the function that scores a state.

  Args:
    config: of the run.
    model: that is trained.
    task: whose scores are wanted; its best one must be a number.
    source: the data.
    mesh: of the devices.
    phases: told of compiling, and of each batch.
    interrupted: asked at each batch whether to stop; the function returned
      raises InterruptedRunError then.

  Raises:
    UserError: when other processes have other files to score on.
  """
  preprocessing = sections.build(config, "preprocessing")
  eval_step = parts.eval_step(config, model, task, mesh)
  batches = parts.eval_batches(config, source, preprocessing)
  agreement.check_batches(batches)
  compiled = set()

  def step(variables, batch):
    # Whole images are of several shapes, and each is a program.
    shapes = tuple(x.shape for x in jax.tree.leaves(batch))
    if shapes in compiled:
      return eval_step(variables, batch)
    with phases.phase(COMPILE):  # It is, by its first call.
      compiled.add(shapes)
      return eval_step(variables, batch)

  def watched(done):
    for batch in parallel.prefetch(batches, mesh):
      phases.beat(EVALUATION)  # The batch before the last has finished.
      if interrupted():
        raise loop.InterruptedRunError(done)
      yield batch

  def evaluate(state):
    variables = state.variables(averaged=config.evaluation.averaged_weights)
    device_batches = watched(int(state.step))
    with out_of_memory.in_evaluation(config):
      scores = evaluator.single_numbers(
        evaluator.evaluate(step, variables, device_batches, task.scores)
      )
    if task.best not in scores:
      raise errors.UserError(
        f"task.best={task.best!r} must be a number among the task's scores, "
        f"{', '.join(scores)}; checkpoints are kept by it."
      )
    return scores

  return evaluate
