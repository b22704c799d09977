"""The sweep itself: what is not finished is trained, run by run."""

import dataclasses
import signal
import sys
from collections.abc import Sequence
from typing import Any

from absl import logging

from van_jax.cli import command
from van_jax.sweeps import processes, states, table
from van_jax.sweeps.members import Member


@dataclasses.dataclass
class Outcome:
  """What becomes of a sweep.

  Attributes:
    statuses: exit statuses of the runs that failed, by name.
    status: that the sweep is to end with, once its table is printed.
  """

  statuses: dict[str, int] = dataclasses.field(default_factory=dict)
  status: int = 0


def sweep(
  members: Sequence[Member],
  outcome: Outcome,
  *,
  index: int | None = None,
  score: str | None = None,
  only_table: bool = False,
) -> dict[str, Any]:
  """Trains what is not finished, prints the table, and returns its numbers.

  A run that fails ends no other's.

  Args:
    members: of the sweep.
    outcome: is told how it went.
    index: of the one to train; None for all.
    score: of the table; None for the task's best.
    only_table: whether nothing is trained.

  Raises:
    UserError: where a finished run has no such score.
    SystemExit: when a run, or a signal, asks for the same command again.
  """
  judged_by = score or states.default_score(members[0])
  for member in members:
    states.read(member, judged_by)  # An unknown score, before the work.
  chosen = members if index is None else [members[index]]
  if not only_table:
    _train_all(chosen, judged_by, outcome)
  now = [states.read(member, judged_by) for member in members]
  for line in table.lines(members, now, outcome.statuses, judged_by):
    print(line)
  return table.fields(members, now, outcome.statuses, judged_by)


def _train_all(members: Sequence[Member], score: str, outcome: Outcome) -> None:
  runner = processes.Runner()
  with runner.passing_on():
    for number, member in enumerate(members, 1):
      if states.read(member, score).finished:
        logging.info("%s is finished, and skipped.", member.name)
        continue
      if runner.stopped is not None:
        _stop(member, command.EXIT_AGAIN)
      logging.info("Run %d of %d: %s", number, len(members), member.name)
      status = runner.run(member.command)
      if status == 128 + signal.SIGTERM and runner.stopped:
        status = command.EXIT_AGAIN  # It was not listening yet.
      if status == command.EXIT_AGAIN or (runner.stopped and status):
        _stop(member, status)
      if status:
        logging.error("%s failed with status %d.", member.name, status)
        outcome.statuses[member.name] = status
        # An array job's own rules decide by it whether to try again.
        outcome.status = status if len(members) == 1 else command.EXIT_ERROR
      else:
        states.read(member, score)  # An unknown score, before the next run.


def _stop(member: Member, status: int) -> None:
  logging.warning(
    "The sweep stops at %s; the same command goes on from there.", member.name
  )
  sys.exit(status)
