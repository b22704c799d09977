"""What a workdir tells of its run, whatever of it is there."""

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from van_jax import errors, storage
from van_jax.bundle import description
from van_jax.training.run import (
  class_names,
  goodput,
  history,
  kept,
  lock,
  starts,
  workdir as workdir_lib,
)

_HANGS = "hang-*.txt"
Found = TypeVar("Found")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """A run of the page.

  Attributes:
    name: tells it from the others of the page.
    workdir: absolute path.
    config: nested dicts, as the workdir has them; {} where it has none.
    history: metrics by name, see `history.read_history`.
    account: of its time, see `goodput.read`.
    saved: steps of its checkpoints, ascending.
    bundle: the JSON of its bundle; None where it has none.
    starts: of its processes, in order, see `starts.read`.
    owner: who holds the workdir, or held it when it was killed; {} for nobody.
    class_names: [K]; () where they are not known.
    hangs: by file, the first lines of stacks that a hang left.
    problems: what could not be read, a line each.
    best: the score that its task keeps the best checkpoint by.
    best_mode: "max" or "min".
  """

  name: str
  workdir: str
  config: Mapping[str, Any]
  history: Mapping[str, history.Series]
  account: Mapping[str, Any]
  saved: Sequence[int]
  bundle: Mapping[str, Any] | None
  starts: Sequence[Mapping[str, Any]]
  owner: Mapping[str, Any]
  class_names: tuple[str, ...]
  hangs: Mapping[str, str]
  problems: tuple[str, ...]
  best: str = "top1"
  best_mode: str = "max"

  @property
  def last_step(self) -> int:
    """The last step that anything in the workdir tells of."""
    measured = [int(s.steps[-1]) for s in self.history.values() if len(s.steps)]
    return max([self.account["step"], *self.saved, *measured])

  @property
  def total_steps(self) -> int | None:
    """Steps of the whole run; None where nothing says it.

    Progress says how many are left: its seconds times its steps a second.
    """
    source = self.bundle["source"] if self.bundle else None
    at_end = source.get("step") if isinstance(source, Mapping) else None
    if isinstance(at_end, int) and at_end >= self.last_step:
      return at_end
    left, rate = (
      self.history.get(f"progress/{name}")
      for name in ("seconds_left", "images_per_second")
    )
    batch = self.config.get("batch_size")
    if not isinstance(batch, int) or batch < 1 or left is None or rate is None:
      return None
    if not len(left.steps) or not len(rate.steps):
      return None
    total = left.steps[-1] + left.values[-1] * rate.values[-1] / batch
    return round(total) if math.isfinite(total) else None


def read(workdirs: Sequence[str | os.PathLike[str]]) -> list[Run]:
  """Returns the runs in some workdirs, which may be going on or be damaged.

  Raises:
    UserError: for a folder that holds nothing of a run, or is named twice.
  """
  paths = [storage.absolute(given) for given in workdirs]
  for i, path in enumerate(paths):
    if path in paths[:i]:
      raise errors.UserError(
        f"WORKDIR {workdirs[i]} is named twice; name each run once."
      )
    if not any((path / name).exists() for name in _FILES):
      raise errors.UserError(
        f"WORKDIR {workdirs[i]} holds no run: it has none of "
        f"{', '.join(_FILES)}; name the folder that train.py was given as "
        "--workdir."
      )
  names = _names([os.fspath(path) for path in paths])
  return [_read(*pair) for pair in zip(names, paths, strict=True)]


_FILES = (workdir_lib.CONFIG, history.NAME, goodput.NAME)


def _read(name: str, path: Any) -> Run:
  problems: list[str] = []

  def attempt(
    function: Callable[[Any], Found], place: Any, other: Found
  ) -> Found:
    try:
      return function(place)
    except (errors.UserError, OSError, ValueError, OverflowError) as error:
      problems.append(" ".join(str(error).split()))
      return other

  is_bundle = description.is_bundle(path / workdir_lib.BUNDLE)
  return Run(
    name=name,
    workdir=os.fspath(path),
    config=attempt(workdir_lib.read_config, path, {}),
    history=attempt(history.read_history, path, {}),
    account=goodput.read(path),
    saved=attempt(kept.steps, path / workdir_lib.CHECKPOINTS, []),
    bundle=attempt(description.read, path / workdir_lib.BUNDLE, None)
    if is_bundle
    else None,
    starts=starts.read(path),
    owner=_owner(path / lock.NAME),
    class_names=attempt(class_names.read, path, None) or (),
    hangs={file.name: _head(file) for file in sorted(path.glob(_HANGS))},
    problems=tuple(problems),
  )


def _owner(path: Any) -> dict[str, Any]:
  """Returns who the lock names; nothing where nobody holds it."""
  try:
    owner = storage.read_json(path)
  except (OSError, ValueError):
    return {}
  return owner if isinstance(owner, dict) else {}


def _head(path: Any) -> str:
  try:
    return "\n".join(path.read_bytes().decode(errors="replace").split("\n")[:3])
  except OSError as error:
    return str(error)


def _names(paths: Sequence[str]) -> list[str]:
  """Returns what follows the folder that all paths share."""
  if len(paths) == 1:
    return [os.path.basename(paths[0]) or paths[0]]
  try:
    shared = os.path.commonpath([os.path.dirname(path) for path in paths])
  except ValueError:  # Some are local, some are not.
    return list(paths)
  return [os.path.relpath(path, shared) for path in paths]
