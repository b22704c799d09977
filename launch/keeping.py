"""Keeps a run on VMs going: what comes after what was seen of it."""

import sys
import time
from collections.abc import Callable, Sequence

from launch import command_line, jobset, slice_vms

_LOOK_SECONDS = 60
_CREATING = ("CREATING", "STARTING", "REPAIRING", "RESTARTING")
_GONE = ("ABSENT", "PREEMPTED", "TERMINATED", "STOPPED", "UNHEALTHY_MAINTENANCE")


def decide(state: str, statuses: Sequence[tuple[str, int]]) -> str:
  """Returns "wait", "recreate", "run", "done" or "fail".

  Args:
    state: of the slice; "ABSENT" where there is none.
    statuses: of the run on each worker that answers, as (word, exit status).
  """
  if state in _GONE:
    return "recreate"
  if state in _CREATING or not statuses:
    return "wait"
  ended = [status for word, status in statuses if word in ("exited", "dead")]
  if any(status and status not in jobset.GOES_ON for status in ended):
    return "fail"
  if any(ended):  # Some may still be at it, and stop within their deadlines.
    return "run" if len(ended) == len(statuses) else "wait"
  if len(ended) == len(statuses):
    return "done"
  return "run" if any(word == "absent" for word, _ in statuses) else "wait"


def keep(
  vms: slice_vms.SliceVms,
  train: Sequence[str],
  *,
  max_restarts: int,
  sleep: Callable[[float], None] = time.sleep,
) -> int:
  """Creates, installs, runs and goes on until the run is done.

  Args:
    vms: the slice.
    train: train.py's flags.
    max_restarts: after which it gives up.
    sleep: between looks.

  Returns:
    0 when all workers are done; else 1, and the slice is left for a look.

  Raises:
    UsageError: when gcloud cannot say how the slice is.
  """
  starts = 0
  while True:
    state = vms.state()
    found = vms.statuses() if state == "READY" else []
    step = decide(state, found)
    if step == "wait":
      sleep(_LOOK_SECONDS)
      continue
    _say(f"{vms.name} is {state}, workers {_counted(found)}: {step}")
    if step == "done":
      return vms.follow()  # Ends with the scores.
    if step == "fail":
      vms.follow()
      _say("the error comes again; mend it, and give the same command.")
      return 1
    if starts > max_restarts:
      _say(f"given up after {max_restarts} restarts.")
      return 1
    starts += 1
    if not _begin(vms, train, state=state, anew=step == "recreate"):
      sleep(_LOOK_SECONDS)


def describe(vms: slice_vms.SliceVms, train: Sequence[str]) -> int:
  """Prints the commands of a first start, and what follows."""
  for title, command in (
    ("if there is no such slice", vms.create),
    ("on all workers", vms.install),
    ("on all workers", lambda: vms.run(train)),
    (f"every {_LOOK_SECONDS} s", vms.status),
    ("when it was preempted, or /dev/vfio is busy", vms.delete),
  ):
    print(f"# {title}")
    command()
  print(f"# exit statuses {jobset.GOES_ON}: run again; 0: done; others: stop.")
  return 0


def _begin(
  vms: slice_vms.SliceVms, train: Sequence[str], *, state: str, anew: bool
) -> bool:
  """Returns whether the run was started, on a new slice if need be."""
  if anew and state != "ABSENT" and vms.delete():
    return False
  if anew and vms.create():
    return False
  if vms.install():
    return False
  status = vms.run(train)
  if status:
    vms.stop()  # On those workers that did start.
  if status == slice_vms.BUSY:
    _say("/dev/vfio is busy: recreating.")
    return not (vms.recreate() or vms.install() or vms.run(train))
  return not status


def _counted(statuses: Sequence[tuple[str, int]]) -> str:
  kinds = sorted({f"{word} {status}" for word, status in statuses})
  return ", ".join(
    f"{kind} ({sum(f'{w} {s}' == kind for w, s in statuses)})" for kind in kinds
  )


def _say(line: str) -> None:
  print(f"{command_line.now()} {line}", file=sys.stderr)
