"""Seals of folders of cached files: what has changed since is no good.

A flipped bit in compiled code gives a crash, or other numbers; a file cut short
an error at every start. Either is removed here, and made anew by whose it is.
"""

import contextlib
import functools
import hashlib
import json
import logging
import os
import pathlib
from typing import Any

_NAME = "sealed.json"  # {file: SHA-256}, of all files in the folder.
_UNFINISHED = ".tmp."  # In the names of files that Numba is writing.


def remove_damaged(folder: pathlib.Path) -> None:
  """Removes files that differ from the seal, or of which it does not know.

  Those of a process that was killed before it could seal them, or that is
  still at it, are as good as missing.

  Args:
    folder: may be used by other processes meanwhile.

  Raises:
    OSError: when one of them cannot be removed.
  """
  sealed = _read(folder)
  found = _digests(folder)
  strange = [name for name in found if found[name] != sealed.get(name)]
  for name in strange:
    (folder / name).unlink(missing_ok=True)
  if damaged := [name for name in strange if name in sealed]:
    logging.getLogger(__name__).warning(
      "%d damaged files, %s for one, were removed from the cache of compiled "
      "loops, %s; they are compiled anew.",
      len(damaged),
      damaged[0],
      folder,
    )


def close(folder: pathlib.Path) -> None:
  """Seals a folder as it is; a full disk leaves it unsealed."""
  found = _digests(folder)
  if found == _read(folder):
    return
  draft = folder / f"{_NAME}{_UNFINISHED}{os.getpid()}"
  try:
    draft.write_text(json.dumps(found))
    draft.replace(folder / _NAME)
  except OSError:
    with contextlib.suppress(OSError):
      draft.unlink(missing_ok=True)


def _read(folder: pathlib.Path) -> dict[str, Any]:
  """Returns the seal; nothing if it is missing or damaged itself."""
  try:
    sealed = json.loads((folder / _NAME).read_text())
  except (OSError, ValueError, RecursionError):
    return {}
  return sealed if isinstance(sealed, dict) else {}


def _digests(folder: pathlib.Path) -> dict[str, str]:
  """Returns the digest of each file, by its path in the folder."""
  found = {}
  for path in sorted(folder.rglob("*")):
    if path.name == _NAME or _UNFINISHED in path.name:
      continue
    with contextlib.suppress(FileNotFoundError):  # Another process was there.
      if path.is_file():
        state = path.stat()
        found[path.relative_to(folder).as_posix()] = _digest(
          path, state.st_mtime_ns, state.st_size, state.st_ino
        )
  return found


@functools.lru_cache(maxsize=4096)
def _digest(path: pathlib.Path, *state: int) -> str:
  """Returns a file's SHA-256; `state` changes when it is written."""
  del state
  try:
    return hashlib.sha256(path.read_bytes()).hexdigest()
  except FileNotFoundError:
    raise
  except OSError:  # Of no use to Numba either.
    return "unreadable"
