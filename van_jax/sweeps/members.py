"""The runs of a sweep: each one's config, workdir and command, all checked."""

import dataclasses
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from etils import epath
from ml_collections import config_flags

from van_jax import errors, places, storage
from van_jax.cli import dotted_keys, flag_parsing
from van_jax.experiment import config_check, ownership
from van_jax.sweeps import axes as axes_lib
from van_jax.training.run import workdir as workdir_lib

_LONGEST = 200  # Characters of a folder's name; file systems take 255 bytes.
_OWN = ("config", "workdir", "start_over")  # What a sweep says for each run.


@dataclasses.dataclass(frozen=True)
class Member:
  """A run of a sweep.

  Attributes:
    name: readable: its values.
    values: by key of an axis.
    config: of the run, a ConfigDict.
    workdir: its folder, NAME below the sweep's.
    command: that trains it, in a process of its own.
  """

  name: str
  values: Mapping[str, Any]
  config: Any
  workdir: epath.Path
  command: tuple[str, ...]


def plan(
  axes: Sequence[axes_lib.Axis],
  *,
  of_config: Sequence[str],
  workdir: str,
  more: Sequence[str] = (),
) -> list[Member]:
  """Returns the runs of a sweep, in order; nothing is written.

  Args:
    axes: of the sweep.
    of_config: the arguments that name its config, and set keys of it.
    workdir: the folder around the runs'.
    more: arguments of train.py for every run, such as --distributed.

  Raises:
    UserError: for the first run that cannot be: a key, a value, a config, or a
      workdir that holds another run.
  """
  _check_more(more)
  folder = storage.absolute(workdir)
  if (folder / workdir_lib.CONFIG).exists():
    raise errors.UserError(
      f"workdir={workdir} is the workdir of a single run; name another folder, "
      "below which each run of the sweep gets one."
    )
  places.check_writable(workdir, "--workdir", inside=True)
  members = [
    _member(texts, of_config, folder, more)
    for texts in axes_lib.combinations(axes)
  ]
  _check_names(members)
  _check(members)
  return members


def _check_more(more: Sequence[str]) -> None:
  """Raises UserError for arguments that are the sweep's to give."""
  for argument in more:
    name = re.split(r"[=.]", argument.lstrip("-"))[0]
    if argument.startswith("-") and name.removeprefix("no") in _OWN:
      raise errors.UserError(
        f"{argument} may not follow --: a sweep gives each run its config and "
        "its workdir, and goes on with what is there; write --config.KEY "
        "before the --, and remove a run's folder to start it anew."
      )


def _member(
  texts: Mapping[str, str],
  of_config: Sequence[str],
  folder: epath.Path,
  more: Sequence[str],
) -> Member:
  own = [f"--config.{key}={text}" for key, text in texts.items()]
  values = flags.FlagValues()
  config_flags.DEFINE_config_file(
    "config", None, "", flag_values=values, lock_config=True
  )
  # As train.py will: what it would refuse is refused here.
  flag_parsing.parse(["sweep", *of_config, *own], values)
  config = values["config"].value
  chosen = {key: dotted_keys.get(config, key) for key in texts}
  name = _name(chosen)
  train = [sys.executable, "-m", "van_jax", "train"]
  command = [*train, *of_config, *own, f"--workdir={folder / name}", *more]
  return Member(name, chosen, config, folder / name, tuple(command))


def _name(values: Mapping[str, Any]) -> str:
  """Returns "learning_rate=0.001,seed=0"; whole keys where ends are alike."""
  ends = [key.rpartition(".")[2] for key in values]
  parts = [
    f"{end if ends.count(end) == 1 else key}={_readable(value)}"
    for (key, value), end in zip(values.items(), ends, strict=True)
  ]
  return ",".join(parts)[:_LONGEST]


def _readable(value: Any) -> str:
  """Returns a value in characters that folders' names may have."""
  if isinstance(value, tuple | list):
    return "-".join(map(_readable, value)) or "none"
  return re.sub(r"[^\w.+-]+", "_", str(value))


def _check_names(members: Sequence[Member]) -> None:
  """Raises UserError where two runs would share a folder."""
  seen: dict[str, Member] = {}
  for member in members:
    other = seen.setdefault(member.name, member)
    if other is not member:
      raise errors.UserError(
        f"two runs of the sweep would be called {member.name}: "
        f"{dict(other.values)} and {dict(member.values)}; leave one out, or "
        "sweep them apart, below two --workdir."
      )


def _check(members: Sequence[Member]) -> None:
  """Raises UserError for the first run whose config or workdir is wrong."""
  traced = set()
  for member in members:
    try:
      config_check.check_config(member.config)
      config_check.check_trainable(member.config)
      model = json.dumps(member.config.model.to_dict(), default=str)
      if model not in traced:  # Seconds each.
        traced.add(model)
        config_check.abstract_variables(member.config)
      ownership.check(member.workdir, member.config.to_dict())
    except errors.UserError as error:
      raise errors.UserError(f"{member.name}: {error}") from error
