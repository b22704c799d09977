"""Damage that keeps a folder of checkpoints from being opened: set aside."""

import json

from absl import logging
from etils import epath

from van_jax import retrying, storage
from van_jax.parallel import processes
from van_jax.training.run import scores as scores_lib

_METADATA = "_CHECKPOINT_METADATA"  # Orbax's, of a checkpoint; may be missing.
_METADATA_TYPES = {
  "init_timestamp_nsecs": int,
  "commit_timestamp_nsecs": int,
  "item_handlers": dict | str,
  "metrics": dict,
  "performance_metrics": dict,
  "custom_metadata": dict,
}


def clear(directory: epath.Path, steps: list[int]) -> None:
  """Renames what Orbax would stumble over when it opens a folder.

  Of a checkpoint whose scores alone are damaged, its state stays; where its
  description is, all of it becomes `damaged-STEP`.

  Args:
    directory: holds one folder a checkpoint, named by its step.
    steps: of its checkpoints.
  """
  found, broken = _looked(directory, steps)
  for step in broken:
    aside = set_aside(directory, str(step), f"damaged-{step}")
    logging.warning(
      "Checkpoint %s is damaged: its %s cannot be read. It is set aside as %s; "
      "falling back to the one before.",
      directory / str(step),
      _METADATA,
      aside,
    )
  for step, damage in found.items():
    if damage and step not in broken:
      aside = set_aside(
        directory, f"{step}/{scores_lib.ITEM}", f"damaged-scores-{step}"
      )
      logging.warning(
        "%s They are set aside as %s; going on without them.", damage, aside
      )


def _looked(
  directory: epath.Path, steps: list[int]
) -> tuple[dict[int, str], list[int]]:
  """Returns what is wrong with scores, by step, and the steps not described.

  The first process looks for all: a network file system may show another host
  an older folder, and all of them rename together.
  """
  there = {step: directory / str(step) for step in steps}
  seen = []

  def look():
    seen.append([[step, _scores_damage(path)] for step, path in there.items()])
    seen.append([s for s, path in there.items() if not _is_described(path)])

  processes.first_does("looking for damaged checkpoints", look)
  told = processes.broadcast("damage", json.dumps(seen))
  scores, broken = json.loads(told)
  return dict(scores), broken


def steps_aside(directory: epath.Path) -> list[int]:
  """Returns the steps of the checkpoints that were set aside, ascending."""
  names = (
    path.name.removeprefix("damaged-") for path in directory.glob("damaged-*")
  )
  numbers = {name.partition(".")[0] for name in names}
  return sorted(int(number) for number in numbers if number.isdecimal())


def set_aside(directory: epath.Path, name: str, aside_name: str) -> epath.Path:
  """Renames something to the first free `ASIDE_NAME`, `ASIDE_NAME.1`, ..."""
  aside, number = directory / aside_name, 0
  while aside.exists():
    number += 1
    aside = aside.with_name(f"{aside_name}.{number}")
  processes.barrier(f"name for {aside_name}")
  processes.first_does(
    f"setting {name} aside", lambda: (directory / name).rename(aside)
  )
  return aside


def _scores_damage(checkpoint: epath.Path) -> str:
  try:
    scores_lib.read(checkpoint)
  except scores_lib.DamagedScoresError as error:
    return str(error)
  return ""


def _is_described(checkpoint: epath.Path) -> bool:
  """Returns whether Orbax's description is missing or as it writes them."""
  try:
    metadata = storage.read_json(checkpoint / _METADATA)
  except FileNotFoundError:
    return True
  except (OSError, ValueError) as error:
    if retrying.is_passing(error):
      raise
    return False
  return isinstance(metadata, dict) and all(
    isinstance(metadata.get(name), kind | None)
    for name, kind in _METADATA_TYPES.items()
  )
