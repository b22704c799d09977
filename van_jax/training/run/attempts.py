"""What all processes of a run try together, so that it ends alike in all.

Each process reads and writes its own part of a checkpoint. One that failed
alone would go back to try again, or fall back to another checkpoint, while the
others wait for it where it never comes.
"""

from collections.abc import Callable
from typing import TypeVar

from van_jax import errors, retrying
from van_jax.parallel import processes
from van_jax.training.run import peers

Result = TypeVar("Result")

# How an attempt ended, from the best to the worst: the worst counts. Where one
# fails, others that wait for it in what they do lose it: the failure counts.
_DONE, _PASSING, _LOST, _OVER, _FAILED = range(5)


class OtherProcessError(errors.UserError):
  """What this process had done has failed in another."""


def together(
  do: Callable[[], Result],
  what: str,
  *,
  seconds: float,
  wait_seconds: float | None = None,
  before_again: Callable[[], None] = lambda: None,
) -> Result:
  """Returns what a function returns here, once it has in all processes.

  While the storage of one fails for a while, all call it again.

  Args:
    do: called by all processes of the run; may be called many times.
    what: it does, for the log: "Reading PATH".
    seconds: that it is tried for.
    wait_seconds: for the others, from when the first one has ended; None for
      twice as long, as one may begin when another has all but given up.
    before_again: called by all processes before each but the first call.

  Raises:
    StillFailingError: when the storage of one fails for longer.
    OtherProcessError: when only another's call failed, for good.
    PeerError: when another does not come, or one has lost another.
    Exception: what the call of this process raised.
  """
  patience = retrying.Patience(what, seconds)
  wait_seconds = 2 * seconds if wait_seconds is None else wait_seconds
  while True:
    result, error = _called(do)
    mine = _end(error, patience)
    ends = processes.gather("attempt", str(mine), seconds=wait_seconds)
    worst = max(map(int, ends))  # It counts.
    if worst == _DONE:
      return result  # pyright: ignore[reportReturnType]
    says_why = mine == worst or (mine, worst) == (_PASSING, _OVER)
    if error is None or not says_why:
      error = _elsewhere(what, worst)
    if worst in (_FAILED, _LOST):
      raise error
    if worst == _OVER:
      raise retrying.StillFailingError(
        f"{what} failed for {seconds:.0f} s: {retrying.first_line(error)}. Run "
        "the same command when the storage works again."
      ) from error
    patience.wait(error)
    before_again()


def _elsewhere(what: str, end: int) -> errors.UserError:
  """Returns what to say where another process has come to this end."""
  if end == _LOST:
    return errors.PeerError(
      f"{what} was cut short: another process of this run has lost a third, "
      "see its log; the same command, started again on all hosts, goes on."
    )
  return OtherProcessError(
    f"{what} failed in another process of this run, whose log says why."
  )


def _called(
  do: Callable[[], Result],
) -> tuple[Result | None, Exception | None]:
  try:
    return do(), None
  except Exception as error:
    return None, error


def _end(error: Exception | None, patience: retrying.Patience) -> int:
  if error is None:
    return _DONE
  if peers.is_loss(error):
    return _LOST
  if not retrying.is_passing(error):
    return _FAILED
  return _OVER if patience.is_over() else _PASSING
