"""`starts.jsonl`: when each process of a run began, on what, and how it ended.

What is cut off (killed, or ended while it hangs) leaves no end: that tells it
from what was asked to stop, and from what met an error.
"""

import contextlib
import importlib.metadata
import json
import os
import platform
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from absl import logging

from van_jax import errors, retrying, storage

NAME = "starts.jsonl"
_LIBRARIES = ("van_jax", "jax", "jaxlib", "flax", "optax")
_KEPT = 200  # The last ones: a run that is preempted every hour has many.


def read(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
  """Returns the starts of a run, in order; none of runs that kept no account.

  Args:
    workdir: the run's folder.

  Returns:
    of each start: began (seconds since 1970), host, processes, devices,
    device_kind and versions (by library); and, unless it was cut off, ended and
    why ("" once all steps were done).
  """
  path = storage.absolute(workdir) / NAME
  try:
    lines = path.read_bytes().splitlines()
  except OSError:
    return []
  return [fields for fields in map(_parsed, lines) if fields]


@contextlib.contextmanager
def recorded(
  workdir: str | os.PathLike[str], wall: Callable[[], float] = time.time
) -> Iterator[None]:
  """Writes that a process of a run begins, and in the end how it ended.

  The first of several processes writes.

  Args:
    workdir: the run's folder, claimed.
    wall: returns seconds since 1970.
  """
  if jax.process_index() > 0:
    yield
    return
  starts = [*read(workdir), {"began": wall(), **_system()}][-_KEPT:]
  _write(workdir, starts)
  why = ""
  try:
    yield
  except BaseException as error:
    why = f"{type(error).__name__}: {retrying.first_line(error)}"
    raise
  finally:
    starts[-1] |= {"ended": wall(), "why": why}
    _write(workdir, starts)


def _parsed(line: bytes) -> dict[str, Any]:
  """Returns what a line says; nothing of a damaged one."""
  try:
    fields = json.loads(line)
  except (ValueError, RecursionError):
    return {}
  whole = isinstance(fields, dict) and type(fields.get("began")) in (int, float)
  return fields if whole else {}


def _system() -> dict[str, Any]:
  return {
    "host": socket.gethostname(),
    "processes": jax.process_count(),
    "devices": jax.device_count(),
    "device_kind": jax.devices()[0].device_kind,
    "versions": {"python": platform.python_version()}
    | {library: _version(library) for library in _LIBRARIES},
  }


def _version(library: str) -> str:
  try:
    return importlib.metadata.version(library)
  except importlib.metadata.PackageNotFoundError:
    return ""  # Ours, of a checkout.


def _write(
  workdir: str | os.PathLike[str], starts: list[dict[str, Any]]
) -> None:
  path = storage.absolute(workdir) / NAME
  try:
    if not path.parent.is_dir():
      return  # Somebody has removed the run; it is not made anew.
    with storage.replacing(path) as draft:
      draft.write_text("".join(f"{json.dumps(fields)}\n" for fields in starts))
  except (OSError, errors.UserError) as error:  # No reason to stop a run.
    logging.warning("%s cannot be written: %s.", path, error)
