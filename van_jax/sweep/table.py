"""The table of a sweep: a line for each choice of values, over its seeds."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from van_jax.sweep.members import Member
from van_jax.sweep.states import State

_SEED = "seed"


class Group(NamedTuple):
  """Runs that differ in their seeds alone.

  Attributes:
    values: by key of an axis, without the seed.
    scores: of those that are finished.
    count: of all.
  """

  values: Mapping[str, Any]
  scores: list[float]
  count: int

  @property
  def mean(self) -> float | None:
    """Of the scores; None without any."""
    return statistics.fmean(self.scores) if self.scores else None

  @property
  def spread(self) -> float | None:
    """Standard deviation of the scores (n - 1); None of less than two."""
    return statistics.stdev(self.scores) if len(self.scores) > 1 else None


def groups(members: Sequence[Member], states: Sequence[State]) -> list[Group]:
  """Returns the groups of a sweep's runs, in the order of the first of each."""
  found: dict[str, list[tuple[Member, State]]] = {}
  for member, state in zip(members, states, strict=True):
    found.setdefault(str(_without_seed(member)), []).append((member, state))
  return [
    Group(
      _without_seed(runs[0][0]),
      [state.score for _, state in runs if state.score is not None],
      len(runs),
    )
    for runs in found.values()
  ]


def lines(
  members: Sequence[Member],
  states: Sequence[State],
  statuses: Mapping[str, int],
  score: str,
) -> list[str]:
  """Returns the table in Markdown, and a line for each unfinished run.

  Args:
    members: of the sweep.
    states: of each.
    statuses: exit statuses of those that failed, by name.
    score: what they are judged by.
  """
  keys = [key for key in members[0].values if key != _SEED]
  titles = [*keys, "runs", f"{score}, mean", "spread"]
  rows = [
    [
      *(str(group.values[key]) for key in keys),
      f"{len(group.scores)} of {group.count}",
      _number(group.mean),
      _number(group.spread),
    ]
    for group in groups(members, states)
  ]
  table = [titles, ["---"] * len(titles), *rows]
  unfinished = [
    f"{member.name}: {_stands(state, statuses.get(member.name))}"
    for member, state in zip(members, states, strict=True)
    if not state.finished
  ]
  return [*(f"| {' | '.join(row)} |" for row in table), *unfinished]


def fields(
  members: Sequence[Member],
  states: Sequence[State],
  statuses: Mapping[str, int],
  score: str,
) -> dict[str, Any]:
  """Returns what `lines` says, for JSON."""
  return {
    "score": score,
    "groups": [
      {
        "values": dict(group.values),
        "mean": group.mean,
        "spread": group.spread,
        "finished": len(group.scores),
        "count": group.count,
      }
      for group in groups(members, states)
    ],
    "runs": [
      {
        "workdir": str(member.workdir),
        "values": dict(member.values),
        "finished": state.finished,
        "step": state.step,
        score: state.score,
        "status": statuses.get(member.name, 0),
      }
      for member, state in zip(members, states, strict=True)
    ],
  }


def _without_seed(member: Member) -> dict[str, Any]:
  return {key: v for key, v in member.values.items() if key != _SEED}


def _number(value: float | None) -> str:
  return "-" if value is None else f"{value:.5g}"


def _stands(state: State, status: int | None) -> str:
  where = f"at step {state.step}" if state.step else "no checkpoint yet"
  return f"failed with status {status}, {where}" if status else where
