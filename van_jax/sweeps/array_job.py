"""Which run of a sweep is this task's, of an array job."""

import os

from van_jax import errors

_VARIABLES = ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX")
_AUTO = "auto"


def index(given: str | None, count: int) -> int | None:
  """Returns the number of the run to do; None for all.

  Raises:
    UserError: where it is no number of a run.
  """
  if given is None:
    return None
  text, name = given, "--index"
  if given == _AUTO:
    name = next((job for job in _VARIABLES if job in os.environ), "")
    if not name:
      raise errors.UserError(
        f"--index={_AUTO} needs {' or '.join(_VARIABLES)} in the environment, "
        "which array jobs have; start this as one, or give a number."
      )
    text = os.environ[name]
  if not text.isdecimal() or int(text) >= count:
    raise errors.UserError(
      f"{name}={text} must be a number from 0 to {count - 1}: the sweep has "
      f"{count} runs."
    )
  return int(text)
