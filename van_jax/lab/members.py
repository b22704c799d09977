"""The trainings of a sweep, and the files that say which of them are done.

FOLDER/VARIANT/seed0/fit.json has settings, scores and history of one that has
come to its end.
"""

import dataclasses
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from van_jax import data, errors, models, storage
from van_jax.data.sources.pixel_split import PixelSplit
from van_jax.lab.fitted import Fit
from van_jax.lab.history import History
from van_jax.lab.planning import Plan
from van_jax.training.run.history import Series

NAME = "fit.json"
_LISTED = 4  # Differences that an error spells out.
_LONGEST = 80  # Characters of a folder's name; of UTF-8 they have 3 bytes.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """One training of a sweep, come to its end.

  Attributes:
    variant: its name.
    seed: its seed.
    scores: of its last evaluation.
    best: of its best one, and the "epoch" of that.
    history: each metric's steps and values, by name.
  """

  variant: str
  seed: int
  scores: dict[str, float]
  best: dict[str, float]
  history: History


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member:
  """One training that a sweep is to have.

  Attributes:
    variant: its name.
    plan: of the training.
    settings: what its result depends on, as JSON values.
    folder: for its files; None where none are written.
  """

  variant: str
  plan: Plan
  settings: dict[str, Any]
  folder: epath.Path | None

  @property
  def title(self) -> str:
    """Says which it is."""
    return f"{self.variant}, seed {self.plan.seed}"

  def row(self, fit: Fit) -> Row:
    """Returns what a training that has come to its end leaves."""
    return Row(
      variant=self.variant,
      seed=self.plan.seed,
      scores=fit.scores,
      best=fit.best,
      history=fit.history,
    )


def members(
  plans: Mapping[str, Plan], seeds: Sequence[int], folder: epath.Path | None
) -> list[Member]:
  """Returns all trainings, variant by variant.

  Args:
    plans: by the variants' names; of any seed.
    seeds: of each.
    folder: for the files of all; None for none.

  Raises:
    UserError: where two variants would share a folder.
  """
  names = {variant: _file_name(variant) for variant in plans}
  for variant, name in names.items():
    others = [v for v, n in names.items() if n == name and v != variant]
    if others and folder is not None:
      raise errors.UserError(
        f"variants {variant!r} and {others[0]!r} would both have the folder "
        f"{name}; rename one."
      )
  return [
    Member(
      variant=variant,
      plan=dataclasses.replace(plan, seed=seed),
      settings={**settings, "seed": seed},
      folder=None
      if folder is None
      else folder / names[variant] / f"seed{seed}",
    )
    for variant, plan in plans.items()
    for settings in [_settings(plan)]
    for seed in seeds
  ]


def read(member: Member) -> Row | None:
  """Returns what a training has left; None where it is still to do.

  Raises:
    UserError: where it had other settings.
  """
  if member.folder is None or not (member.folder / NAME).exists():
    return None
  path = member.folder / NAME
  try:
    found = storage.read_json(path)
    settings, scores, best = (found[k] for k in ("settings", "scores", "best"))
    series = {
      name: Series(np.array(steps, np.int64), np.array(values, np.float64))
      for name, (steps, values) in found["history"].items()
    }
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise errors.UserError(
      f"{path} cannot be read ({error!r}); remove it, and that training is "
      "done again."
    ) from error
  _check_settings(path, settings, member.settings)
  return Row(
    variant=member.variant,
    seed=member.plan.seed,
    scores=scores,
    best=best,
    history=History(series, epoch_steps=member.plan.epoch_steps),
  )


def write(member: Member, fit: Fit, *, bundle: bool) -> None:
  """Writes what `read` returns, whole or not at all.

  Args:
    member: that was trained.
    fit: what came of it.
    bundle: whether the weights are written too, below "bundle".
  """
  if member.folder is None:
    return
  if bundle:
    fit.save(member.folder / "bundle", overwrite=True)
  fields = {
    "settings": member.settings,
    "scores": fit.scores,
    "best": fit.best,
    "history": {
      name: (series.steps.tolist(), series.values.tolist())
      for name, series in fit.history.items()
    },
  }
  with storage.replacing(member.folder / NAME) as draft:
    draft.write_text(json.dumps(fields))


def _check_settings(
  path: epath.Path, then: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
  old, new = _flat(then), _flat(now)
  names = sorted(n for n in {*old, *new} if old.get(n) != new.get(n))
  if names:
    said = "; ".join(
      f"{name} was {old.get(name, 'absent')}, now {new.get(name, 'absent')}"
      for name in names[:_LISTED]
    )
    more = f"; and {len(names) - _LISTED} more" * (len(names) > _LISTED)
    raise errors.UserError(
      f"{path} is of a training with other settings: {said}{more}. Name "
      "another folder, or remove that file to train again."
    )


def _settings(plan: Plan) -> dict[str, Any]:
  """Returns what a training's result depends on, but for its seed."""
  return {
    **plan.told,
    "total_steps": plan.total_steps,
    "eval_steps": plan.eval_steps,
    "model": _described(plan.model),
    "data": _split(plan.source.train),
    "evaluation": _split(plan.source.evaluation),
    "variables": None if plan.variables is None else _checksum(plan.variables),
  }


def _described(model: Any) -> Any:
  """Returns a model as JSON values; of a stranger's what it prints."""
  if type(model) is not models.VAN:
    text = re.sub(r" at 0x[0-9a-f]+|# attributes", "", repr(model))
    return " ".join(text.split())
  how = ("drop_path_rate", "dropout_rate", "batch_norm_group_size")
  fields = {name: getattr(model, name) for name in (*how, "batch_norm_frozen")}
  plain = {**models.architecture(model), **fields, "dtype": str(model.dtype)}
  return json.loads(json.dumps(plain))


def _split(split: data.Split | None) -> Any:
  if split is None:
    return None
  content = split.checksum() if isinstance(split, PixelSplit) else split.title
  return {"size": split.size, "content": content}


def _checksum(variables: Mapping[str, Any]) -> int:
  crc = 0
  for leaf in jax.tree.leaves(variables):
    crc = zlib.crc32(np.ascontiguousarray(leaf).view(np.uint8).data, crc)
  return crc


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  found = {}
  for name, value in settings.items():
    if isinstance(value, Mapping):
      found.update(_flat(value, f"{prefix}{name}."))
    else:
      found[f"{prefix}{name}"] = value
  return found


def _file_name(variant: str) -> str:
  """Returns a folder's name: never one above, nor one that is not seen."""
  return re.sub(r"^\.+|[^\w.+=-]+", "_", variant)[:_LONGEST]
