"""What processes tell one another of a hang, so that one log has it all.

One that hangs makes all others wait. Who finds a hang posts where it stands;
whoever reads that posts the same; and process 0 logs who stands where, and who
says nothing.
"""

import contextlib
import time

from absl import logging

from van_jax import errors
from van_jax.parallel import processes
from van_jax.training.run.phases import Standing

_FOLDER = "hang"  # Of what is posted, by process.
_LOOK_SECONDS = 2.0
_COLLECT_SECONDS = 5.0  # For the others to have looked and answered.


def file_name(process: int) -> str:
  """Returns the name of the file with a process's stacks, in the workdir."""
  return f"hang-{process}.txt"


def tell(line: str) -> None:
  """Posts that this process hangs, and gives process 0 time to log it."""
  if not processes.several():
    return
  with contextlib.suppress(errors.UserError):  # It may be what is gone.
    processes.post(f"{_FOLDER}/{processes.index()}", line)
    time.sleep(_LOOK_SECONDS)


class Others:
  """The other processes' hangs."""

  def __init__(self):
    self._next = 0.0
    self._answered = self._logged = False

  def look(self, standing: Standing) -> None:
    """Answers, once, and lets process 0 log, once, where all stand."""
    if not processes.several() or self._logged:
      return
    now = time.monotonic()
    if now < self._next:
      return
    self._next = now + _LOOK_SECONDS
    with contextlib.suppress(errors.UserError):
      said = processes.read_all(_FOLDER)
      if not said:
        return
      if not self._answered:
        self._answered = True
        if str(processes.index()) not in said:
          processes.post(f"{_FOLDER}/{processes.index()}", _stands(standing))
      if processes.index() == 0:
        self._log()

  def _log(self) -> None:
    self._logged = True
    until = time.monotonic() + _COLLECT_SECONDS
    while True:
      said = processes.read_all(_FOLDER)
      silent = {str(i) for i in range(processes.count())} - said.keys()
      if not silent or time.monotonic() > until:
        break
      time.sleep(0.25)
    for process in sorted(said, key=int):
      logging.error("%s.", said[process])
    if silent:
      logging.error(
        "%s says nothing: halted, gone, or cut off.",
        processes.listed({int(process) for process in silent}),
      )


def _stands(standing: Standing) -> str:
  where = " > ".join(standing.names)
  return (
    f"process {processes.index()} is in {where}, {standing.seconds:.0f} s "
    "since its last sign of life"
  )
