"""Roles for test_process_groups.py: what each process does."""

import socket
import time
from typing import Any

from van_jax import errors
from van_jax.parallel import processes


def join(address, index, count, seconds=60.0):
  """Joins as process `index` of `count`."""
  group = processes.Group(
    coordinator_address=address, num_processes=count, process_id=index
  )
  processes.join(group, seconds=seconds, barrier_seconds=60.0)


def meet(addresses, index):
  """Meets in every way, and at last waits for one that is elsewhere."""
  join(addresses[0], index, 3)
  found: dict[str, Any] = {
    "count": processes.count(),
    "index": processes.index(),
  }
  processes.post(f"place/{index}", f"at {index}")
  processes.barrier("posted")
  found["read"] = processes.read("place/2")
  found["unknown"] = processes.read("place/7")
  found["all"] = processes.read_all("place")
  found["told"] = [
    processes.broadcast("colour", f"{colour} of {index}")
    for colour in ("red", "blue")
  ]
  found["gathered"] = [
    processes.gather("size", f"{size}{index}") for size in ("S", "L")
  ]
  try:
    processes.first_does("writing", lambda: write(index))
  except OSError as error:
    found["failure"] = f"OSError {error.strerror}"
  except errors.UserError as error:
    found["failure"] = str(error)
  start = time.monotonic()
  try:
    if index == 2:
      processes.barrier("another door", seconds=15.0)
    while processes.read("at/2") != "another door #1":
      time.sleep(0.05)
    processes.barrier("the door", seconds=10.0)
  except errors.PeerError as error:
    found["missing"] = str(error)
  found["waited"] = time.monotonic() - start
  return found


def write(index):
  """Fails as a full disk does."""
  raise OSError(28, "No space left on device", f"file{index}")


def trouble(addresses, index):
  """Plays one of several groups that do not come together."""
  group, place = GROUPS[index]
  return group(addresses[list(GROUPS_OF).index(group)], place)


def miss(address, index):
  """Joins as one of four, of whom two are never started."""
  join(address, (0, 2)[index], 4, seconds=10.0)


def disagree(address, index):
  """Joins with another number of processes than the other has."""
  join(address, index, 2 + index, seconds=100.0)


def double(address, index):
  """Joins as process 1, which two think that they are."""
  join(address, min(index, 1), 3, seconds=10.0)


def look(address, index):
  """Looks for a coordinator that is not there."""
  join(address, 1 + index, 2, seconds=1.0)


def share(address, index):
  """Wants a port that is taken."""
  with socket.socket() as taken:
    taken.bind(("", 0))
    taken.listen()
    join(f"127.0.0.1:{taken.getsockname()[1]}", index, 2, seconds=1.0)


def alone(address, index):
  """Joins as the only one."""
  join(address, index, 1)
  processes.barrier("nobody else")
  return [processes.several(), processes.gather("x", "mine")]


GROUPS_OF = {miss: 2, disagree: 2, double: 3, look: 1, share: 1, alone: 1}
GROUPS = [
  (group, place) for group, count in GROUPS_OF.items() for place in range(count)
]
