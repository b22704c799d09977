"""Who has come to process 0, before JAX connects them.

JAX's own service answers nobody before all have come, and where one does not
it ends the others with a page of C++ that names three at most. So process 0
first listens itself, at the same port: each process says who it is, and hears
when all are there, or why nobody goes on. Lines of JSON are all that is said;
of whoever says anything else, here or there, nothing is believed.
"""

import contextlib
import dataclasses
import json
import socket
import socketserver
import threading
import time
from typing import Any, NoReturn

from van_jax import errors
from van_jax.parallel.processes import cluster, listing

_LOOK_SECONDS = 0.2
_TELLING_SECONDS = 5.0  # For the others to have been told.
_LINE_BYTES = 4096  # Of a process that says who it is; strangers say anything.
_ANSWER_BYTES = 1 << 16  # Of process 0's answer, likewise.

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
  call = _Call(place.count)
  with _listening(place, call, deadline):
    while not call.told_otherwise() and (absent := call.absent()):
      if time.monotonic() > deadline:
        call.end(errors.PeerError(_late(place, absent, seconds)))
        break
      time.sleep(_LOOK_SECONDS)
    call.end(None)
    until = time.monotonic() + _TELLING_SECONDS
    while call.listeners() and time.monotonic() < until:
      time.sleep(_LOOK_SECONDS / 4)
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
      if time.monotonic() + _LOOK_SECONDS > deadline:
        raise _unreachable(place, seconds, error) from error
    else:
      if told.get("go"):
        return
      _raise(told)
    time.sleep(_LOOK_SECONDS)


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


@dataclasses.dataclass
class _Caller:
  """Who is on a line, as it says."""

  index: int
  count: int
  host: str


def _caller(said: bytes) -> _Caller | None:
  """Returns who says so; None of a stranger, or a probe of the port."""
  with contextlib.suppress(ValueError, TypeError, RecursionError):
    caller = _Caller(**json.loads(said))
    kinds = (type(caller.index), type(caller.count), type(caller.host))
    if kinds == (int, int, str) and 0 <= caller.index < caller.count:
      return caller
  return None


class _Call:
  """Who is there, as the threads that listen to them have heard."""

  def __init__(self, count: int):
    self._lock = threading.Lock()
    self._there: dict[int, _Caller] = {}
    self._count = count
    self.ended = threading.Event()
    self.failure: errors.UserError | None = None

  def come(self, caller: _Caller) -> errors.UserError | None:
    """Notes who has come; returns why it may not."""
    with self._lock:
      other = self._there.get(caller.index)
      if caller.index == 0 or other is not None:
        where = "process 0's own host" if other is None else other.host
        return errors.UserError(
          f"process_id={caller.index} was given to two processes, on {where} "
          f"and on {caller.host}; give each its own."
        )
      self._there[caller.index] = caller
    return None

  def go(self, caller: _Caller) -> None:
    """Forgets one that has hung up."""
    with self._lock:
      if self._there.get(caller.index) is caller:
        del self._there[caller.index]

  def absent(self) -> list[int]:
    """Returns who has not come."""
    with self._lock:
      return sorted(set(range(1, self._count)) - self._there.keys())

  def listeners(self) -> bool:
    """Returns whether somebody is still on a line."""
    with self._lock:
      return bool(self._there)

  def told_otherwise(self) -> bool:
    """Ends the call when somebody has another number of processes."""
    with self._lock:
      others = [c for c in self._there.values() if c.count != self._count]
    if others:
      other = min(others, key=lambda c: c.index)
      self.end(
        errors.UserError(
          f"num_processes is {self._count} for process 0, and {other.count} "
          f"for process {other.index} on {other.host}; start the same command "
          "on all hosts."
        )
      )
    return bool(others)

  def end(self, failure: errors.UserError | None) -> None:
    """Lets everybody hear how it ended; the first word counts."""
    if not self.ended.is_set():
      self.failure = failure
      self.ended.set()


class _Listener(socketserver.StreamRequestHandler):
  """One process's line to process 0."""

  timeout = 10.0  # Seconds, for it to say who it is.

  def handle(self):
    call: _Call = self.server.call  # type: ignore[attr-defined]
    try:
      caller = _caller(self.rfile.readline(_LINE_BYTES))
    except OSError:
      return
    if caller is None:
      return
    if refusal := call.come(caller):
      self._say(refusal)
      return
    try:
      while not call.ended.is_set():
        if self._hung_up():
          return
      self._say(call.failure)
    finally:
      call.go(caller)

  def _hung_up(self) -> bool:
    """Waits a moment for a caller, which has nothing more to say, to go."""
    # Not by `select`, which takes no more than 1,024 files.
    self.connection.settimeout(_LOOK_SECONDS)
    try:
      self.connection.recv(1)
    except TimeoutError:
      return False
    except OSError:
      return True
    return True

  def _say(self, failure: errors.UserError | None):
    told: dict[str, Any] = {"go": True}
    if failure is not None:
      again = isinstance(failure, errors.PeerError)
      told = {"error": str(failure), "again": again}
    with contextlib.suppress(OSError):
      self.wfile.write(json.dumps(told).encode() + b"\n")


class _Server(socketserver.ThreadingTCPServer):
  """Listens where JAX's own service will."""

  allow_reuse_address = True
  daemon_threads = True
  request_queue_size = 1024

  def __init__(self, port: int, call: _Call):
    self.call = call
    dual = socket.has_dualstack_ipv6()
    self.address_family = socket.AF_INET6 if dual else socket.AF_INET
    super().__init__(("", port), _Listener)

  def server_bind(self):
    if self.address_family == socket.AF_INET6:
      self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    super().server_bind()


@contextlib.contextmanager
def _listening(place: cluster.Place, call: _Call, deadline: float):
  """Listens at process 0's port, once nobody else does."""
  while True:
    try:
      server = _Server(place.port, call)
      break
    except OSError as error:
      if time.monotonic() + _LOOK_SECONDS > deadline:
        raise errors.PeerError(
          f"process 0 cannot listen at port {place.port} of "
          f"{socket.gethostname()} ({error.strerror}): another run may still "
          "be ending there; stop it, or set another port."
        ) from error
    time.sleep(_LOOK_SECONDS)
  with server:
    thread = threading.Thread(
      target=server.serve_forever, args=(_LOOK_SECONDS / 4,), daemon=True
    )
    thread.start()
    try:
      yield
    finally:
      server.shutdown()


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
