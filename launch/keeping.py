"""Keeps a run on VMs going: what comes after what was seen of it."""

import datetime
import sys
import time
from collections.abc import Callable, Sequence

from launch import command_line, jobset, slice_vms

_LOOK_SECONDS = 60
_ASK_SECONDS = 600  # Before a slice is asked for again.
_COMING = ("CREATING", "STARTING", "REPAIRING", "RESTARTING")
_GONE = ("ABSENT", "PREEMPTED", "TERMINATED", "STOPPED")
_PAID = "it is paid for until `delete`."
_HOST_LOST = 255  # What Docker says of a container whose host was restarted.


def decide(state: str, statuses: Sequence[tuple[str, int]]) -> str:
  """Returns "wait", "recreate", "run", "done" or "fail".

  Args:
    state: of the slice; "ABSENT" where there is none.
    statuses: of the run on each worker that answers, as Docker's word and an
      exit status; "absent" where none was started.
  """
  if state in _GONE:
    return "recreate"
  if state in _COMING or not statuses:
    return "wait"
  ended = [status for word, status in statuses if word in ("exited", "dead")]
  if any(s and s not in (*jobset.GOES_ON, _HOST_LOST) for s in ended):
    return "fail"
  absent = sum(word == "absent" for word, _ in statuses)
  if len(ended) + absent < len(statuses):
    return "wait"  # Those that have lost a peer stop within their deadlines.
  return "run" if absent or any(ended) else "done"


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
    UsageError: when gcloud cannot say, at first, how the slice is.
  """
  looked, starts = False, 0
  while True:
    try:
      state = vms.state()
    except command_line.UsageError as error:
      if not looked:
        raise
      _say(str(error))  # The network, or gcloud's own; it passes.
      sleep(_LOOK_SECONDS)
      continue
    first, looked = not looked, True
    found = vms.statuses() if state == "READY" else []
    step = decide(state, found)
    if first and step in ("done", "fail"):
      step = "run"  # They ended before this command, which may be another.
    if step == "wait":
      sleep(_LOOK_SECONDS)
      continue
    _say(f"{vms.name} is {state}, workers: {_counted(found)}; next: {step}.")
    if step in ("done", "fail"):
      vms.follow()  # The log's end: scores, or the error.
      _say(_PAID)
      return int(step == "fail")
    if starts > max_restarts:
      _say(f"given up after {max_restarts} restarts; {_PAID}")
      return 1
    if _begin(vms, train, state=state):
      starts += 1
    elif not starts:
      _say(f"nothing was started; the reason is above. If it is there, {_PAID}")
      return 1
    else:
      sleep(_ASK_SECONDS)


def describe(vms: slice_vms.SliceVms, train: Sequence[str]) -> int:
  """Prints the commands of a first start, and what may follow."""
  for title, command in (
    ("if there is no such slice", vms.create),
    ("the image, on all workers", vms.install),
    ("the run, where all workers' chips are free", lambda: vms.run(train)),
    (f"every {_LOOK_SECONDS} s", vms.status),
    ("before it is created anew: preempted, or /dev/vfio busy", vms.delete),
  ):
    print(f"# {title}")
    command()
  print(
    f"# runs again after {', '.join(map(str, jobset.GOES_ON))}; done after 0; "
    "stops after any other exit status"
  )
  return 0


def _begin(
  vms: slice_vms.SliceVms, train: Sequence[str], *, state: str
) -> bool:
  """Returns whether the run was started, on a new slice if need be."""
  if state in _GONE:
    if state != "ABSENT" and vms.delete():
      return False
    if vms.create():
      return False
  if vms.install():
    return False
  status = vms.run(train)
  if status == slice_vms.BUSY:
    return not (vms.recreate() or vms.install() or vms.run(train))
  if status:
    vms.stop()  # On those workers that did start.
  return not status


def _counted(statuses: Sequence[tuple[str, int]]) -> str:
  kinds = [f"{word} {status}" for word, status in statuses]
  return ", ".join(f"{kinds.count(k)} {k}" for k in sorted(set(kinds))) or "-"


def _say(line: str) -> None:
  now = datetime.datetime.now().isoformat(" ", "seconds")
  print(f"{now} {line}", file=sys.stderr)
