"""The scores of a run's states, on its evaluation split."""

from collections.abc import Callable
from typing import Any

import jax

from van_jax import data, errors, parallel, tasks
from van_jax.evaluation import evaluator
from van_jax.experiment import out_of_memory, parts, sections
from van_jax.experiment.sections import Config
from van_jax.training.state import TrainState

Scores = dict[str, Any]


def scorer(
  config: Config,
  model: Any,
  task: tasks.Task,
  source: data.Source,
  mesh: jax.sharding.Mesh,
) -> Callable[[TrainState], Scores]:
  """Returns the function that scores a state.

  Args:
    config: of the run.
    model: that is trained.
    task: whose scores are wanted; its best one must be a number.
    source: the data.
    mesh: of the devices.
  """
  preprocessing = sections.build(config, "preprocessing")
  eval_step = parts.eval_step(model, task, mesh)
  batches = parts.eval_batches(config, source, preprocessing)

  def evaluate(state):
    variables = state.variables(averaged=config.evaluation.averaged_weights)
    device_batches = parallel.prefetch(batches, mesh)
    with out_of_memory.in_evaluation(config):
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
