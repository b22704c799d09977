"""How long each phase of a run may go without a sign of life."""

from van_jax.experiment.sections import Config
from van_jax.training.run import phases


def by_phase(config: Config) -> dict[str, float]:
  """Returns seconds, by the phases' names.

  In a start-up processes wait for one another twice, each time with a deadline
  of its own that says who is missing: the watch over it is there for the rest.
  """
  given = config.deadlines
  return {
    phases.START_UP: given.start_up_seconds + given.barrier_seconds,
    phases.RESTORE: given.restore_seconds,
    phases.COMPILE: given.compile_seconds,
    phases.STEP: given.step_seconds,
    phases.DATA: given.step_seconds,
    phases.SAVE: given.save_seconds,
    phases.EVALUATION: given.evaluation_seconds,
    phases.EXPORT: given.save_seconds,
  }
