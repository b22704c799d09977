"""Process 0's port, before JAX's own service is there: a line to each other.

Each process says who it is, and hears, once the roll has ended, how. Lines of
JSON are all that is said; whoever says anything else hears nothing.
"""

import contextlib
import json
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from typing import Any

from van_jax import errors
from van_jax.parallel.processes import cluster, roll as roll_lib

LOOK_SECONDS = 0.2
_LINE_BYTES = 4096  # Of a process that says who it is; strangers say anything.


class _Line(socketserver.StreamRequestHandler):
  """One process's line to process 0."""

  timeout = 10.0  # Seconds, for it to say who it is.

  def handle(self):
    roll: roll_lib.Roll = self.server.roll  # type: ignore[attr-defined]
    try:
      caller = roll_lib.caller_in(self.rfile.readline(_LINE_BYTES))
    except OSError:
      return
    if caller is None:
      return
    if refusal := roll.come(caller):
      self._say(refusal)
      return
    try:
      while not roll.ended.is_set():
        if self._hung_up():
          return
      self._say(roll.failure)
    finally:
      roll.go(caller)

  def _hung_up(self) -> bool:
    """Waits a moment for a caller, which has nothing more to say, to go."""
    # Not by `select`, which takes no more than 1,024 files.
    self.connection.settimeout(LOOK_SECONDS)
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

  def __init__(self, port: int, roll: roll_lib.Roll):
    self.roll = roll
    dual = socket.has_dualstack_ipv6()
    self.address_family = socket.AF_INET6 if dual else socket.AF_INET
    super().__init__(("", port), _Line)

  def server_bind(self):
    if self.address_family == socket.AF_INET6:
      self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    super().server_bind()


@contextlib.contextmanager
def listening(
  place: cluster.Place, roll: roll_lib.Roll, deadline: float
) -> Iterator[None]:
  """Listens at process 0's port, once nobody else does.

  Args:
    place: of process 0.
    roll: told who comes; whoever is on a line hears how it ended.
    deadline: of `time.monotonic`, for the port to be free.

  Raises:
    PeerError: when it is not.
  """
  while True:
    try:
      server = _Server(place.port, roll)
      break
    except OSError as error:
      if time.monotonic() + LOOK_SECONDS > deadline:
        raise errors.PeerError(
          f"process 0 cannot listen at port {place.port} of "
          f"{socket.gethostname()} ({error.strerror}): another run may still "
          "be ending there; stop it, or set another port."
        ) from error
    time.sleep(LOOK_SECONDS)
  with server:
    thread = threading.Thread(
      target=server.serve_forever, args=(LOOK_SECONDS / 4,), daemon=True
    )
    thread.start()
    try:
      yield
    finally:
      server.shutdown()
