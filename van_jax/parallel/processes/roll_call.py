"""Who has come to process 0, before JAX connects them.

JAX's own service answers nobody before all have come, and where one does not
it ends the others with a page of C++ that names three at most. So process 0
first listens itself, at the same port: each process says who it is, and hears
when all are there, or why nobody goes on. Lines of JSON are all that is said;
of whoever says anything else, here or there, nothing is believed.
"""

import contextlib
import json
import socket
import time
from typing import Any, NoReturn

from van_jax import errors
from van_jax.parallel.processes import cluster, listening, listing, roll

_TELLING_SECONDS = 5.0  # For the others to have been told.
_ANSWER_BYTES = 1 << 16  # Of process 0's answer; strangers say anything.

# The keys of what process 0 may say.
_ANSWERS = ({"go"}, {"error", "again"})


def answer(place: cluster.Place, deadline: float, seconds: float) -> None:
  """Has process 0 wait for all others, and tell them how that ended.

  Args:
    place: of process 0.
    deadline: of `time.monotonic`.
    seconds: that all had to come, for messages.

  Raises:
    UserError: when some were told otherwise than others.
    PeerError: naming who did not come, or that the port is taken.
  """
  call = roll.Roll(place.count)
  with listening.listening(place, call, deadline):
    while not call.told_otherwise() and (absent := call.absent()):
      if time.monotonic() > deadline:
        call.end(errors.PeerError(_late(place, absent, seconds)))
        break
      time.sleep(listening.LOOK_SECONDS)
    call.end(None)
    until = time.monotonic() + _TELLING_SECONDS
    while call.listeners() and time.monotonic() < until:
      time.sleep(listening.LOOK_SECONDS / 4)
  if call.failure is not None:
    raise call.failure


def ask(
  place: cluster.Place, deadline: float, seconds: float, host: str
) -> None:
  """Tells process 0 that this one is there, and waits until all are.

  Args:
    place: of this process.
    deadline: of `time.monotonic`; process 0, which came later, may have later.
    seconds: that all had to come, for messages.
    host: this process's, for messages.

  Raises:
    UserError: when it was told otherwise than others.
    PeerError: naming who did not come, or that process 0 cannot be reached.
  """
  mine = {"index": place.index, "count": place.count, "host": host}
  while True:
    left = max(deadline - time.monotonic(), 1.0)
    try:
      told = _exchange(place, mine, left, seconds + 2 * _TELLING_SECONDS)
    except OSError as error:
      if time.monotonic() + listening.LOOK_SECONDS > deadline:
        raise _unreachable(place, seconds, error) from error
    else:
      if told.get("go"):
        return
      _raise(told)
    time.sleep(listening.LOOK_SECONDS)


def _exchange(
  place: cluster.Place, mine: dict[str, Any], left: float, patience: float
) -> dict[str, Any]:
  """Returns what process 0 says in the end.

  Args:
    place: of this process.
    mine: who it is.
    left: seconds to connect in.
    patience: seconds that process 0 has to answer: it may have come last, and
      waits as long as it would have from the beginning.

  Raises:
    OSError: when there is none, or it ended meanwhile.
  """
  address = (place.host.strip("[]"), place.port)  # As of [::1]:8476.
  with socket.create_connection(address, left) as connection:
    connection.sendall(json.dumps(mine).encode() + b"\n")
    connection.settimeout(patience)
    # Bytes: JAX's service of an earlier run, which may still be ending at this
    # port, speaks HTTP/2.
    with connection.makefile("rb") as lines:
      try:
        line = lines.readline(_ANSWER_BYTES)
      except TimeoutError:
        reason = f"it took the call, and said nothing for {patience:.0f} s"
        raise ConnectionAbortedError(0, reason) from None
    with contextlib.suppress(ValueError, RecursionError):
      told = json.loads(line)
      if isinstance(told, dict) and told.keys() in _ANSWERS:
        return told
    raise ConnectionAbortedError(0, "it ended, or is no van_jax")


def _raise(told: dict[str, Any]) -> NoReturn:
  kind = errors.PeerError if told["again"] else errors.UserError
  raise kind(told["error"])


def _late(place: cluster.Place, absent: list[int], seconds: float) -> str:
  """Returns a line that says who did not come."""
  return (
    f"{listing.listed(absent)} of {place.count} did not come within "
    f"{seconds:.0f} s to {place.address}, the coordinator by {place.source}: "
    "start the same command on every host, and see the log there."
  )


def _unreachable(
  place: cluster.Place, seconds: float, error: OSError
) -> errors.PeerError:
  """Returns a line that says that process 0 did not answer."""
  return errors.PeerError(
    f"process 0 cannot be reached at {place.address} within {seconds:.0f} s "
    f"({error.strerror or error}), the coordinator by {place.source}: was the "
    "same command started there, does this host know it by that name, and does "
    "a firewall let this port pass?"
  )
