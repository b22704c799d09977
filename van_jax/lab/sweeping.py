"""Variants against one another, with several seeds each."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from absl import logging
from etils import epath

from van_jax import (
  bundle as bundle_lib,
  data as data_lib,
  errors,
  places,
  signatures,
  storage,
)
from van_jax.data import arguments
from van_jax.lab import (
  fitting,
  members as members_lib,
  numbers,
  planning,
  running,
)
from van_jax.lab.swept import Sweep


def sweep(
  variants: Mapping[str, Any],
  data: Any,
  *,
  evaluation: Any = None,
  seeds: int | Sequence[int] = 3,
  folder: str | os.PathLike[str] | None = None,
  bundles: bool = False,
  model: Any = None,
  class_names: Sequence[str] | None = None,
  directory: str | os.PathLike[str] = fitting.DIRECTORY,
  progress: bool | None = None,
  **arguments_of_fit: Any,
) -> Sweep:
  """Trains each variant with each seed, and compares their scores.

    models = {"lka": model, "lska": model.clone(attention="lska")}
    print(van_jax.sweep(models, data, evaluation=0.2, epochs=10, seeds=3))

    rates = {"low": {"learning_rate": 3e-4}, "high": {"learning_rate": 3e-3}}
    van_jax.sweep(rates, data, model=model, evaluation=0.2, epochs=10)

  Everything is checked before anything is trained. With a folder, what is
  finished there is not trained again: after Ctrl-C, or in another session, the
  same call goes on. A folder of other settings is refused.

  Seeds are trained one after the other: at once, under `jax.vmap`, three of a
  small network took 1.3 times as long on CPUs (`benchmarks/seeds_at_once.py`).

  Args:
    variants: by name: a model, as `fit` takes it, or what is special about
      it: arguments of `fit`, "model" among them.
    data: see `fit`; the same for all.
    evaluation: see `fit`; or a Source's own. A sweep must have one.
    seeds: how many, from 0 on, or which.
    folder: for scores and histories, FOLDER/VARIANT/seed0/fit.json; None for
      none.
    bundles: whether each training leaves its bundle there too; of VANs.
    model: of the variants that name none.
    class_names: see `fit`.
    directory: see `fit`.
    progress: see `fit`.
    **arguments_of_fit: for all variants; a variant's own come first.

  Returns:
    all that is finished: after Ctrl-C what was by then, and not what failed.

  Raises:
    UserError: for what cannot be, naming the variant.
  """
  chosen = _seeds(seeds)
  own = _own(variants, model)
  source = fitting.opened(
    next(iter(own.values()))["model"],
    data,
    evaluation,
    class_names=class_names,
    directory=directory,
  )
  if source.evaluation is None:
    raise errors.UserError(
      "evaluation=None: a sweep compares evaluations; hold a part of the data "
      "out, evaluation=0.2 say, or give others."
    )
  plans = {
    variant: _plan(variant, source, {**arguments_of_fit, **special})
    for variant, special in own.items()
  }
  place = _folder(folder, bundles)
  if bundles:
    _check_savable(plans)
  members = members_lib.members(plans, chosen, place)
  rows, failures = _trained(members, bundles=bundles, shown=progress)
  return Sweep(
    variants=tuple(plans), seeds=chosen, rows=tuple(rows), failures=failures
  )


def _seeds(seeds: Any) -> tuple[int, ...]:
  which: Any = range(int(seeds)) if arguments.is_whole(seeds) else seeds
  if not isinstance(which, Iterable) or isinstance(which, str | bytes):
    which = ()
  chosen = [numbers.number("seed", seed) for seed in which]
  if not chosen or len(set(chosen)) < len(chosen):
    raise errors.UserError(
      f"seeds={seeds!r} must be how many there are, at least 1, or which, each "
      "once."
    )
  return tuple(chosen)


def _own(variants: Mapping[str, Any], model: Any) -> dict[str, dict[str, Any]]:
  """Returns each variant's own arguments, its model among them."""
  if not isinstance(variants, Mapping) or not variants:
    raise errors.UserError(
      "variants must be a mapping from names to models, or to arguments of "
      "fit, and not empty."
    )
  for name in variants:
    if not isinstance(name, str) or not name:
      raise errors.UserError(
        f"variants: {name!r} is the name of one, and must be a text, "
        f"{str(name) or 'lka'!r} say."
      )
  own = {
    name: {"model": model, **special}
    if isinstance(special, Mapping)
    else {"model": special}
    for name, special in variants.items()
  }
  for name, special in own.items():
    if special["model"] is None:
      raise errors.UserError(
        f"{name}: no model; name one, {{'model': ...}}, or model= for all."
      )
  return own


def _plan(
  variant: str, source: data_lib.Source, settings: dict[str, Any]
) -> planning.Plan:
  given = ("data", "evaluation", "seed", "class_names", "directory", "progress")
  try:
    for name in numbers.RULES.keys() & settings.keys():
      if settings[name] is not None:  # NumPy's scalars are numbers.
        settings[name] = numbers.number(name, settings[name])
    signatures.check(fitting.fit, settings, "sweep", given=given)
    model = settings.pop("model")
    return planning.plan(model, source, **settings)
  except errors.UserError as error:
    raise errors.UserError(f"{variant}: {error}") from error


def _check_savable(plans: Mapping[str, planning.Plan]) -> None:
  """Raises UserError unless what is trained can be kept, before it is."""
  for variant, plan in plans.items():
    try:
      bundle_lib.check_model(plan.model)
    except errors.UserError as error:
      raise errors.UserError(f"{variant}: bundles=True, and {error}") from error


def _folder(
  folder: str | os.PathLike[str] | None, bundles: bool
) -> epath.Path | None:
  if folder is None:
    if bundles:
      raise errors.UserError(
        "bundles=True needs a folder to write them to; name one, folder=PATH."
      )
    return None
  places.check_writable(folder, "folder", inside=True)
  return storage.absolute(folder)


def _trained(
  members: Sequence[members_lib.Member], *, bundles: bool, shown: bool | None
) -> tuple[list[members_lib.Row], dict[str, str]]:
  """Returns the rows of all that come to their end, and why others do not."""
  found = [members_lib.read(member) for member in members]  # Refusals first.
  failures: dict[str, str] = {}
  for i, member in enumerate(members):
    if found[i] is not None:
      continue
    title = f"{member.title} ({i + 1} of {len(members)})"
    try:
      fit = running.run(member.plan, title=title, shown=shown)
    except errors.UserError as error:  # It ends no other.
      logging.warning("%s failed: %s", member.title, error)
      failures[member.title] = str(error)
      continue
    if not fit.is_whole:
      logging.warning("The sweep stops at %s.", member.title)
      break
    members_lib.write(member, fit, bundle=bundles)
    found[i] = member.row(fit)
  return [row for row in found if row is not None], failures
