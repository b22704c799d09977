"""The scores beside a checkpoint's state: read and verified by themselves."""

import json
import zlib
from collections.abc import Mapping
from typing import Any

from etils import epath

from van_jax import errors, retrying, storage

ITEM = "metrics"  # Orbax's name of them, folder and file.
CHECKSUM = "scores_crc32"  # In the checkpoint's fingerprint.
_FINGERPRINT = "fingerprint/metadata"

Scores = dict[str, float]


class DamagedScoresError(errors.UserError):
  """A checkpoint's scores are not those that were saved; its state may be."""


def checksum(scores: Mapping[str, float]) -> int:
  """Returns the CRC-32 of scores as JSON, whatever their order."""
  return zlib.crc32(json.dumps(dict(scores), sort_keys=True).encode())


def add(checkpoint: epath.Path, scores: Mapping[str, float]) -> None:
  """Gives a finished checkpoint the scores that it was saved without.

  Their checksum comes last: without it they are taken as they are.

  Args:
    checkpoint: its folder.
    scores: of its state.
  """
  _write(checkpoint / ITEM / ITEM, dict(scores))
  path = checkpoint / _FINGERPRINT
  try:
    sums = storage.read_json(path)
  except (OSError, ValueError) as error:
    if retrying.is_passing(error):
      raise
    return  # As in `_saved_checksum`.
  if isinstance(sums, dict):
    _write(path, sums | {CHECKSUM: checksum(scores)})


def _write(path: epath.Path, content: Any) -> None:
  with storage.replacing(path) as draft:
    draft.write_text(json.dumps(content))


def read(checkpoint: epath.Path) -> Scores | None:
  """Returns a checkpoint's scores, None if it was saved without.

  Args:
    checkpoint: its folder.

  Raises:
    DamagedScoresError: when they cannot be read, or are others.
    OSError: when the storage fails.
  """
  path = checkpoint / ITEM / ITEM
  if not (checkpoint / ITEM).exists():
    return None
  try:
    scores = storage.read_json(path)
  except (OSError, ValueError) as error:
    if retrying.is_passing(error):
      raise
    raise DamagedScoresError(
      _damage(path, f"it is not JSON: {error}")
    ) from error
  if not _are_scores(scores):
    raise DamagedScoresError(_damage(path, "it does not hold numbers by name"))
  if checksum(scores) != _saved_checksum(checkpoint, checksum(scores)):
    raise DamagedScoresError(_damage(path, "its numbers have changed"))
  return scores


def _damage(path: epath.Path, what: str) -> str:
  return f"The scores of a checkpoint, {path}, are damaged: {what}."


def _are_scores(scores: Any) -> bool:
  return (
    isinstance(scores, dict)
    and bool(scores)
    and all(type(value) in (int, float) for value in scores.values())
  )


def _saved_checksum(checkpoint: epath.Path, default: int) -> Any:
  """Returns what was saved; the default of old or damaged fingerprints."""
  try:
    saved = storage.read_json(checkpoint / _FINGERPRINT)
  except (OSError, ValueError) as error:
    if retrying.is_passing(error):
      raise
    return default  # Whoever restores the state will find that.
  return saved.get(CHECKSUM, default) if isinstance(saved, dict) else default
