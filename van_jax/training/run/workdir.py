"""A run's folder: who owns it, and what becomes of an earlier owner."""

import contextlib
import json
import os
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from absl import logging
from etils import epath
from flax import traverse_util

from van_jax import errors, storage
from van_jax.parallel import processes
from van_jax.training.run import lock

CONFIG = "config.json"
CHECKPOINTS = "checkpoints"
BUNDLE = "bundle"  # Folder of what a finished run leaves.
# Of all that a run writes. Version 1 did not say it, had one checksum a
# checkpoint, and AdamW's moments beside what all optimizers have. Version 2 had
# a CRC-32 of each part of a state, taken on the host.
FORMAT_VERSION = 3
_MAX_DEPTH = 32  # Of a config; ours have 4.
_VERSION_KEY = "format_version"

# Says of two configs why a key may not differ between them; "" if it may.
Condition = Callable[[Mapping[str, Any], Mapping[str, Any]], str]


def check_owner(
  workdir: str | os.PathLike[str],
  config: Mapping[str, Any],
  *,
  free: Collection[str],
  conditions: Mapping[str, Condition] = types.MappingProxyType({}),
  upgrade: Callable[[dict[str, Any]], Mapping[str, Any]] = dict,
) -> None:
  """Raises unless the folder is new or holds a run of the same config.

  Args:
    workdir: the run's folder; need not exist.
    config: the run's config as plain JSON values.
    free: dotted keys, or sections, that may differ between the runs.
    conditions: dotted keys that may differ where a function of both configs,
      the old and the new, finds no reason against it.
    upgrade: says an older version's config in today's keys.

  Raises:
    UserError: when it holds a run of another config, listing what differs,
      or other files.
  """
  if not os.fspath(workdir):
    raise errors.UserError("workdir='' must name a folder; pass --workdir=DIR.")
  workdir = storage.absolute(workdir)
  if workdir.exists() and not workdir.is_dir():
    raise errors.UserError(
      f"workdir={workdir} must be a folder, and is a file."
    )
  if (workdir.parent / CONFIG).exists():
    raise errors.UserError(
      f"workdir={workdir} lies in the workdir of another run, among its files; "
      "name a folder beside that one."
    )
  path = workdir / CONFIG
  if not path.exists():
    if _has_checkpoints(workdir / CHECKPOINTS):
      raise errors.UserError(
        f"workdir={workdir} has checkpoints and no {CONFIG}, so that their "
        "config is not known; name another folder, or pass --start_over."
      )
    return
  there = upgrade(read_config(workdir))
  differences = _differences(there, config, free, conditions)
  if differences:
    raise errors.UserError(
      f"workdir={workdir} holds a run of another config: "
      f"{'; '.join(differences)}. Restore the config to go on; or start a new "
      f"run from its weights, --init_from={workdir} with another --workdir; or "
      "pass --start_over, which sets that run aside."
    )


def _has_checkpoints(folder: epath.Path) -> bool:
  """Returns whether there is more than what a save had begun to write.

  Orbax makes a folder that was removed under it anew.
  """
  return folder.is_dir() and any(
    "orbax-checkpoint-tmp" not in path.name for path in folder.iterdir()
  )


def read_config(workdir: str | os.PathLike[str]) -> dict[str, Any]:
  """Returns the config that a folder's run was started with.

  Raises:
    UserError: when the folder holds no run, one of a newer version, or its
      config is damaged.
  """
  path = storage.absolute(workdir) / CONFIG
  if not path.exists():
    raise errors.UserError(
      f"{workdir} is not a training workdir: it has no {CONFIG}."
    )
  try:
    config = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(config, dict):
      raise TypeError(f"it holds {type(config).__name__}, not an object")
    if not _is_shallow(config):
      raise ValueError("it is nested too deep")
    version = int(config.pop(_VERSION_KEY, 1))
  except OSError as error:
    raise errors.UserError(
      f"{path} cannot be read ({error.strerror}); name another workdir, or "
      "pass --start_over."
    ) from error
  except (ValueError, TypeError, OverflowError, RecursionError) as error:
    deep = isinstance(error, RecursionError)
    raise errors.UserError(
      f"{path} is damaged ({'it is nested too deep' if deep else error}); name "
      "another workdir, or pass --start_over."
    ) from None
  if version > FORMAT_VERSION:
    raise errors.UserError(
      f"{workdir} holds a run of format version {version}, and this van_jax "
      f"reads versions up to {FORMAT_VERSION}; install a newer van_jax."
    )
  return config


@contextlib.contextmanager
def opened(
  workdir: str | os.PathLike[str],
  config: Mapping[str, Any],
  *,
  start_over: bool,
  before_claim: Callable[[], None] = lambda: None,
) -> Iterator[Callable[[], None]]:
  """Has the folder locked and claimed; all processes of a run call this.

  What a killed process left half written in it is removed. Yielded is
  `lock.held`'s function, to be called before what is written for good.

  Args:
    workdir: the run's folder, checked by `check_owner` unless starting over.
    config: the run's config as plain JSON values.
    start_over: sets the run that is there aside, unless it is going on.
    before_claim: called in the first process, the folder locked: writes what
      has to be there once it is claimed, or refuses to go on.

  Raises:
    UserError: when another run has it; in all processes when the first one
      cannot write.
  """
  folder = storage.absolute(workdir)
  if start_over:
    with lock.held(folder):
      # The first process alone looks: another might look when it has renamed.
      processes.first_does(
        "setting the old run aside", lambda: _set_run_aside(folder)
      )

  def take():
    storage.remove_leftovers(folder)
    before_claim()
    claim(folder, config)

  with lock.held(folder) as check:
    processes.first_does("claiming the workdir", take)  # None opens the old.
    yield check


def _set_run_aside(folder: epath.Path) -> None:
  if any(path.name != lock.NAME for path in folder.iterdir()):
    set_aside(folder)


def _is_shallow(config: Any) -> bool:
  """Returns whether a tree can be walked by functions that call themselves."""
  level = [config]
  for _ in range(_MAX_DEPTH):
    level = [
      value
      for branch in level
      for value in (branch.values() if isinstance(branch, dict) else branch)
      if isinstance(value, dict | list)
    ]
  return not level


def claim(workdir: str | os.PathLike[str], config: Mapping[str, Any]) -> None:
  """Creates the folder and writes the config into it, atomically."""
  fields = {_VERSION_KEY: FORMAT_VERSION, **config}
  with storage.replacing(storage.absolute(workdir) / CONFIG) as draft:
    draft.write_text(json.dumps(fields, indent=2) + "\n")


def set_aside(workdir: str | os.PathLike[str]) -> None:
  """Renames an existing folder to the first free `NAME.1`, `NAME.2`, ..."""
  workdir = storage.absolute(workdir)
  if not workdir.exists():
    return
  number = 1
  while (aside := workdir.with_name(f"{workdir.name}.{number}")).exists():
    number += 1
  workdir.rename(aside)
  logging.warning("The run in %s is set aside as %s.", workdir, aside)


def _differences(
  there: Mapping[str, Any],
  here: Mapping[str, Any],
  free: Collection[str],
  conditions: Mapping[str, Condition],
) -> list[str]:
  """Returns a line for each key whose values differ, and may not."""

  def flat(tree):
    # Through JSON, so that a tuple equals the list that it was saved as.
    plain = traverse_util.flatten_dict(json.loads(json.dumps(tree)), sep=".")
    return {
      key: value
      for key, value in plain.items()
      if not any(f"{key}.".startswith(f"{name}.") for name in free)
    }

  old, new = flat(there), flat(here)
  missing = "(absent)"
  lines = []
  for key in sorted(old.keys() | new.keys()):
    before, now = old.get(key, missing), new.get(key, missing)
    if before == now:
      continue
    reason = conditions[key](there, here) if key in conditions else None
    if reason != "":
      because = f" ({reason})" if reason else ""
      lines.append(f"{key} is {before} there, {now} here{because}")
  return lines
