"""What a user is told of a save that failed, whatever it was that failed."""

import errno
import os
from collections.abc import Sequence

from etils import epath

from van_jax import retrying, storage
from van_jax.training.run.restoring import CheckpointError


class StillUnwritableError(CheckpointError, retrying.StillFailingError):
  """A checkpoint could not be written for as long as it was tried."""


def removed(directory: epath.Path) -> CheckpointError:
  """Returns what to say where somebody has removed the folder."""
  return CheckpointError(
    f"{directory} was removed while the run was writing to it, and its "
    "checkpoints are gone; run the same command to start anew."
  )


def replaced(directory: epath.Path, there: Sequence[int]) -> CheckpointError:
  """Returns what to say where another folder with checkpoints has the name."""
  return CheckpointError(
    f"{directory} is another folder than the one that the run was writing to, "
    f"with checkpoints of steps {list(there)}; run the same command to go on "
    "from the last of them."
  )


def told(
  error: Exception, directory: epath.Path, there: Sequence[int]
) -> CheckpointError:
  """Returns what to say of what a save has raised.

  Args:
    error: of the file system, of TensorStore or of Orbax.
    directory: the folder of checkpoints.
    there: steps of those that are finished.
  """
  missing = (os.strerror(errno.ENOENT), "NOT_FOUND")  # TensorStore's word.
  if not there and any(word in str(error) for word in missing):
    return removed(directory)  # Or about to be: what it holds goes first.
  given_up = isinstance(error, retrying.StillFailingError)
  passing = given_up or retrying.is_passing(error)
  cause = error.__cause__ if given_up and error.__cause__ else error
  reason = storage.lack_of_space(error) or retrying.first_line(cause)
  return (StillUnwritableError if passing else CheckpointError)(
    f"A checkpoint could not be written to {directory}: {reason}. "
    f"Finished checkpoints are kept: steps {list(there)}. Free space or mend "
    "the folder, and run the same command to go on from the last of them, or "
    "anew if there is none."
  )
