"""`metrics.jsonl`: all that a run has measured, a line of JSON a step."""

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from van_jax import errors, retrying, storage

NAME = "metrics.jsonl"
_STEP = "step"
# JSON has no such numbers; their names are those of Protocol Buffers' JSON.
_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Series(NamedTuple):
  """One metric over a run.

  Attributes:
    steps: [N] int64, ascending: where it was measured.
    values: [N] float64.
  """

  steps: np.ndarray
  values: np.ndarray


def read_history(workdir: str | os.PathLike[str]) -> dict[str, Series]:
  """Returns what a run has measured so far, by the metrics' names.

    steps, top1 = van_jax.read_history("runs/b0")["eval/top1"]

  Training (`train/...`, `progress/...`, `goodput/...`) and evaluation
  (`eval/...`) are measured at different steps, so that each metric has its own.

  Args:
    workdir: the run's folder; the run may be going on.

  Raises:
    UserError: when there is no history in it.
  """
  path = storage.absolute(workdir) / NAME
  try:
    lines = _parsed(path.read_bytes())
  except OSError as error:
    raise errors.UserError(
      f"{path} cannot be read ({error.strerror or error}): name a training "
      "workdir; runs of earlier versions have one once they went on."
    ) from error
  names = sorted({name for line in lines for name in line} - {_STEP})
  return {name: _series(lines, name) for name in names}


class HistoryWriter:
  """Writes a run's history; each step has one line, whatever is resumed."""

  def __init__(self, workdir: str | os.PathLike[str], *, last_step: int):
    """Opens the history, less what a killed process wrote beyond a step.

    Only the first of several processes writes.

    Args:
      workdir: the run's folder.
      last_step: of the state that the run goes on from.
    """
    self._path = storage.absolute(workdir) / NAME
    self._writes = jax.process_index() == 0
    if not self._writes:
      return
    found = _parsed(self._path.read_bytes()) if self._path.exists() else []
    self._lines = [line for line in found if line[_STEP] <= last_step]
    # An object store cannot append: there, all is written at each flush.
    self._appends = not storage.is_remote(self._path)
    self._start = self._end = 0  # Of the last line, in bytes.
    self._rewrite()

  def write(self, step: int, scalars: Mapping[str, Any]) -> None:
    """Adds scalars to a step's line, which is the last one or a new one.

    Raises:
      UserError: when the file cannot be written.
    """
    if not self._writes:
      return
    values = {name: _plain(float(value)) for name, value in scalars.items()}
    if self._lines and self._lines[-1][_STEP] == step:
      self._lines[-1] |= values
    else:
      self._lines.append({_STEP: step, **values})
      self._start = self._end
    if self._appends:
      self._insist(self._write_last)

  def flush(self) -> None:
    """Has all of it on disk, before a checkpoint says that it is."""
    if not self._writes:
      return
    if not self._appends:
      self._rewrite()
      return
    self._insist(self._synchronise)

  def _synchronise(self) -> None:
    try:
      with open(self._path, "r+b") as file:
        os.fsync(file.fileno())
    except OSError as error:
      if retrying.is_passing(error):
        self._rewrite()  # The kernel has dropped what it could not write.
      raise

  def _write_last(self) -> None:
    with open(self._path, "r+b") as file:
      file.seek(self._start)
      file.write(_text(self._lines[-1:]))
      file.truncate()
      self._end = file.tell()

  def _insist(self, write: Callable[[], None]) -> None:
    """Calls a function that writes, again while the storage fails."""
    try:
      retrying.call(write, f"Writing {self._path}")
    except FileNotFoundError as error:
      raise errors.UserError(
        f"{self._path} was removed while the run was writing to it; run the "
        "same command, which starts anew if checkpoints are gone too."
      ) from error
    except OSError as error:
      passing = retrying.is_passing(error)
      kind = retrying.StillFailingError if passing else errors.UserError
      raise kind(
        f"{self._path} cannot be written: {error.strerror}; free space or mend "
        "the folder, and run the same command to go on."
      ) from error

  def _rewrite(self) -> None:
    text = _text(self._lines)
    with storage.replacing(self._path) as draft:
      draft.write_bytes(text)
    self._end = len(text)
    self._start = self._end - len(_text(self._lines[-1:]))


def _text(lines: Iterable[Mapping[str, Any]]) -> bytes:
  return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def _plain(value: float) -> float | str:
  """Returns a number that JSON has, or the name of one."""
  if math.isnan(value):
    return "NaN"
  if math.isinf(value):
    return "Infinity" if value > 0 else "-Infinity"
  return value


def _parsed(content: bytes) -> list[dict[str, Any]]:
  """Returns the whole lines of a history, one a step, the last of each.

  A process that is killed leaves half a line, a damaged disk anything.
  """
  lines: dict[int, dict[str, Any]] = {}
  for line in content.splitlines():
    try:
      fields = json.loads(line)
    except (ValueError, RecursionError):
      continue
    if isinstance(fields, dict) and type(fields.get(_STEP)) is int:
      lines[fields[_STEP]] = fields
  return [lines[step] for step in sorted(lines)]


def _series(lines: Iterable[Mapping[str, Any]], name: str) -> Series:
  found = [
    (line[_STEP], _NAMED.get(line[name], line[name]))
    for line in lines
    if _is_number(line.get(name))
  ]
  return Series(
    steps=np.array([step for step, _ in found], np.int64),
    values=np.array([value for _, value in found], np.float64),
  )


def _is_number(value: Any) -> bool:
  return type(value) in (int, float) or (
    isinstance(value, str) and value in _NAMED
  )
