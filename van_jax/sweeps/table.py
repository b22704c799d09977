"""The table of a sweep: a line for each choice of values, over its seeds."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from van_jax.evaluation import seeds
from van_jax.sweeps.members import Member
from van_jax.sweeps.states import State

_SEED = "seed"


class Group(NamedTuple):
  """Runs that differ in their seeds alone.

  Attributes:
    values: by key of an axis, without the seed.
    score: of the runs.
  """

  values: Mapping[str, Any]
  score: seeds.Seeds


def groups(members: Sequence[Member], states: Sequence[State]) -> list[Group]:
  """Returns the groups of a sweep's runs, in the order of the first of each."""
  found: dict[str, list[tuple[Member, State]]] = {}
  for member, state in zip(members, states, strict=True):
    found.setdefault(str(_without_seed(member)), []).append((member, state))
  return [
    Group(
      _without_seed(runs[0][0]),
      seeds.Seeds(
        [state.score for _, state in runs if state.score is not None],
        len(runs),
      ),
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
      group.score.finished,
      seeds.number(group.score.mean),
      seeds.number(group.score.spread),
    ]
    for group in groups(members, states)
  ]
  unfinished = [
    f"{member.name}: {_stands(state, statuses.get(member.name))}"
    for member, state in zip(members, states, strict=True)
    if not state.finished
  ]
  return [*seeds.markdown(titles, rows), *unfinished]


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
        "mean": group.score.mean,
        "spread": group.score.spread,
        "finished": len(group.score.scores),
        "count": group.score.count,
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


def _stands(state: State, status: int | None) -> str:
  where = f"at step {state.step}" if state.step else "no checkpoint yet"
  return f"failed with status {status}, {where}" if status else where
