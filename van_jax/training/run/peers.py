"""The loss of another process, as one of several meets it.

What a collective raises depends on what carries it, and says nothing that a
user can act on; that a peer is gone is all that it means.
"""

import contextlib
import re
from collections.abc import Iterator

import jax

from van_jax import errors
from van_jax.parallel import processes

# Of Gloo, NCCL, gRPC and JAX's coordination service.
_LOST = re.compile(
  r"gloo|connection (reset|closed|refused)|broken pipe|socket closed"
  r"|nccl(Remote|System|Internal)Error|remote process exited|nccl operation"
  r"|^UNAVAILABLE|^DEADLINE_EXCEEDED|^ABORTED|^CANCELLED"
  r"|heartbeat|coordination|barrier|slice health|another task died",
  re.IGNORECASE,
)


@contextlib.contextmanager
def losses_named() -> Iterator[None]:
  """Turns what the loss of a peer looks like into a PeerError.

  Raises:
    PeerError: the same command, started again in all processes, goes on.
  """
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    if not is_loss(error):
      raise
    reason = str(error).strip().partition("\n")[0][:200].rstrip(". ")
    raise errors.PeerError(
      f"process {processes.index()} of {processes.count()} has lost another "
      f"({reason}): see the others' logs; the same command, started again on "
      "all hosts, goes on from the last checkpoint."
    ) from error


def is_loss(error: Exception) -> bool:
  """Returns whether an error is what the loss of a peer looks like."""
  if not isinstance(error, jax.errors.JaxRuntimeError):
    return isinstance(error, errors.PeerError)
  return processes.several() and _LOST.search(str(error)) is not None
