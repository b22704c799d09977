"""How far a run of a sweep has come, read from its workdir."""

import json
from typing import Any, NamedTuple

from van_jax import errors
from van_jax.bundle import description
from van_jax.experiment import recipe_task
from van_jax.sweeps.members import Member
from van_jax.training.run import history, kept, workdir as workdir_lib


class State(NamedTuple):
  """What a workdir says.

  Attributes:
    finished: whether the run has come to the end that its config says.
    step: updates done: at its end, or of the last checkpoint; 0 without.
    score: at its end; None before.
  """

  finished: bool
  step: int
  score: float | None


def read(member: Member, score: str) -> State:
  """Returns the state of a run.

  Args:
    member: of a sweep; its workdir need not exist.
    score: the name of what it is to be judged by.

  Raises:
    UserError: where a finished run has no such score.
  """
  source = _source_of_bundle(member)
  if source is None:
    folder = member.workdir / workdir_lib.CHECKPOINTS
    steps = kept.steps(folder) if folder.exists() else []
    return State(False, max(steps, default=0), None)
  step = int(source["step"])
  return State(True, step, _score(member, source, step, score))


def default_score(member: Member) -> str:
  """Returns the name of the score that the run's task keeps the best by."""
  return recipe_task.create_task(member.config).best


def _source_of_bundle(member: Member) -> dict[str, Any] | None:
  """Returns what the bundle says it comes from; None of a run without an end.

  A run whose config now says another end has not come to it, whatever bundle
  is there.
  """
  folder = member.workdir / workdir_lib.BUNDLE
  if not description.is_bundle(folder):
    return None
  try:
    source = description.read(folder)["source"]
    then, now = source["config"], json.loads(member.config.to_json())
    averaged = [c["evaluation"]["averaged_weights"] for c in (then, now)]
    same = then["schedule"] == now["schedule"] and averaged[0] == averaged[1]
    return source if same and isinstance(source["step"], int) else None
  except (errors.UserError, KeyError, TypeError):
    return None  # Damaged: train.py writes it anew.


def _score(
  member: Member, source: dict[str, Any], step: int, score: str
) -> float:
  if isinstance(source.get(score), int | float):  # The task's best.
    return float(source[score])
  found = history.read_history(member.workdir)
  series = found.get(f"eval/{score}")
  if series is None or step not in series.steps:
    there = sorted(
      name.removeprefix("eval/") for name in found if name.startswith("eval/")
    )
    raise errors.UserError(
      f"score={score!r} is none of the scores of {member.workdir}; it has "
      f"{', '.join(there) or 'none'}."
    )
  return float(series.values[series.steps == step][-1])
