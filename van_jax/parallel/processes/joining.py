"""Joining the other processes, or saying in time who is not there."""

import socket
import threading
import time

import jax
from absl import logging

from van_jax import errors
from van_jax.parallel.processes import cluster, meeting, roll_call

_CONNECTING_SECONDS = 60  # For those who have all come.
# JAX kills the process where its own deadline is over, with a page of C++: it
# must be later than ours.
_SPARE_SECONDS = 3600
# Without a sign of life a process is dead. A compilation does not keep it from
# giving one; a host that swaps or is moved may be late.
_HEARTBEAT_SECONDS = 60
# At the end, for process 0's last files.
_SHUTDOWN_SECONDS = 300


def join(
  given: cluster.Group, *, seconds: float, barrier_seconds: float
) -> None:
  """Joins the processes that are given, or that the environment tells of.

  To be called before JAX touches a device. In a process that has joined
  already, for an earlier run of a notebook's, it sets `barrier_seconds` alone.

  Args:
    given: by hand.
    seconds: until all must be there.
    barrier_seconds: that `barrier` and its like wait from here on.

  Raises:
    UserError: when it is not known who the others are, or they were started
      otherwise.
    PeerError: naming who has not come, when the time is over.
  """
  meeting.be_patient(barrier_seconds)
  if jax.distributed.is_initialized():
    return
  deadline = time.monotonic() + seconds
  host = socket.gethostname()
  place = cluster.find(given, seconds=seconds)
  logging.info(
    "Process %d of %d on %s, coordinator %s, by %s; waiting up to %.0f s.",
    *(place.index, place.count, host, place.address, place.source, seconds),
  )
  if place.index == 0:
    roll_call.answer(place, deadline, seconds)
  else:
    roll_call.ask(place, deadline, seconds, host)
  _connect(place)


def _connect(place: cluster.Place) -> None:
  """Has JAX connect those who have come; in a thread, as it may not return.

  Raises:
    PeerError: when one of them ended meanwhile.
  """
  failures: list[BaseException] = []

  def initialize():
    try:
      jax.distributed.initialize(
        place.address,
        place.count,
        place.index,
        local_device_ids=place.local_devices,
        cluster_detection_method="deactivate",  # It has been asked.
        initialization_timeout=_SPARE_SECONDS,
        heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
        shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
      )
    except BaseException as error:
      failures.append(error)

  connecting = threading.Thread(target=initialize, name="join", daemon=True)
  connecting.start()
  connecting.join(_CONNECTING_SECONDS)
  if connecting.is_alive():
    raise errors.PeerError(
      f"all {place.count} processes came to {place.address}, and could not "
      f"connect in {_CONNECTING_SECONDS} s: one may have ended meanwhile, see "
      "their logs; the same command, started again on all hosts, goes on."
    )
  for error in failures:
    if not isinstance(error, jax.errors.JaxRuntimeError):
      raise error
    reason = " ".join(str(error).split())
    raise errors.PeerError(
      f"process {place.index} of {place.count} could not join at "
      f"{place.address}: {reason}"
    ) from error
