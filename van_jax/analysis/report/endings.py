"""Where a run stands, where it stopped and, as far as its files say, why."""

import socket
from typing import NamedTuple

from van_jax import storage
from van_jax.analysis.report import numbers
from van_jax.analysis.report.runs import Run

FINISHED, RUNNING, KILLED, HELD, STOPPED, BEGUN = (
  "finished",
  "running",
  "killed",
  "held elsewhere",
  "stopped",
  "not begun",
)


class Ending(NamedTuple):
  """How a run stands.

  Attributes:
    kind: one of the words above.
    why: a sentence or two.
  """

  kind: str
  why: str


def ending(run: Run) -> Ending:
  """Returns how a run stands, by its bundle, its lock and its checkpoints."""
  step, total = run.last_step, run.total_steps
  if run.bundle and (total is None or step >= total):
    return Ending(
      FINISHED, f"It came to its end, step {step:,}; its bundle is there."
    )
  if {"pid", "host", "since"} <= run.owner.keys():
    return _owned(run)
  if not step:
    return Ending(BEGUN, "It has not done a step that its files tell of.")
  return Ending(STOPPED, f"It ended {_where(run)}: {_why(run)} {_saved(run)}")


def _why(run: Run) -> str:
  """Returns what its last process said of its end."""
  why = run.starts[-1].get("why") if run.starts else None
  if why:
    return f"{why}."
  return "it was asked to stop, or met an error, which its log names."


def _owned(run: Run) -> Ending:
  """Returns how a run stands that has not given its workdir back."""
  who = "process {pid} on {host}, begun {since}".format_map(run.owner)
  written = run.account["written"]
  seen = f" It last wrote at {numbers.moment(written)}." if written else ""
  if run.owner["host"] != socket.gethostname():
    return Ending(
      HELD,
      f"Its workdir is held by {who}: it is going on there, or was killed "
      f"{_where(run)}.{seen} {_saved(run)}",
    )
  pid = run.owner["pid"]
  if isinstance(pid, int) and storage.is_running(pid):
    return Ending(RUNNING, f"It is going on, {_where(run)}: {who}.")
  return Ending(
    KILLED,
    f"It was cut off {_where(run)}, without a word: {who} is gone (killed, out "
    f"of memory, or its machine went down).{seen} {_saved(run)}",
  )


def _where(run: Run) -> str:
  total = run.total_steps
  of = f" of {total:,}" if total else ""
  return f"after step {run.last_step:,}{of}"


def _saved(run: Run) -> str:
  if not run.saved:
    return "No checkpoint is there: the same command begins anew."
  again = run.last_step - run.saved[-1]
  twice = f", and does {again:,} steps again" if again > 0 else ""
  return (
    f"The same command goes on from step {run.saved[-1]:,}, the last "
    f"checkpoint{twice}."
  )
