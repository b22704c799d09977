"""What a user names to write to, checked before the work that fills it."""

import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from etils import epath

from van_jax import errors, retrying, storage


def check_file(
  path: str | os.PathLike[str],
  name: str,
  *,
  kinds: Sequence[str] = (),
  overwrite: bool = True,
) -> epath.Path:
  """Returns where a file is to be; nothing is written.

  Args:
    path: as the user gave it.
    name: of the flag or argument that it was given for.
    kinds: endings that say what is written, of which it has one; any if none.
    overwrite: whether it may be there already.

  Raises:
    UserError: where the file would be of another kind, would replace what may
      not be replaced, or cannot be made.
  """
  place = _absolute(path, name)
  if kinds and not place.name.lower().endswith(tuple(kinds)):
    raise errors.UserError(
      f"{name}={path} must end with {' or '.join(kinds)}, which says what is "
      "written."
    )
  if place.is_dir():
    raise errors.UserError(f"{name}={path} is a folder; name a file.")
  if place.exists() and not overwrite:
    raise errors.UserError(
      f"{name}={path} is there already; name another file, or allow it with "
      "--overwrite (overwrite=True in Python)."
    )
  check_writable(path, name)
  return place


def check_own(
  path: str | os.PathLike[str],
  name: str,
  *,
  kind: str,
  is_own: Callable[[epath.Path], bool],
  overwrite: bool,
  folder: bool = True,
) -> epath.Path:
  """Returns where something of ours is to be; nothing is written.

  Args:
    path: as the user gave it.
    name: of the flag or argument that it was given for.
    kind: of what is written, "a bundle" say.
    is_own: whether what is there is of that kind.
    overwrite: whether such may be replaced.
    folder: whether it is a folder, of which an empty one may be there.

  Raises:
    UserError: where anything else would be, or nothing can be made.
  """
  place = _absolute(path, name)
  is_free = not place.exists() or (
    folder and place.is_dir() and not any(place.iterdir())
  )
  if not is_free and not overwrite:
    raise errors.UserError(
      f"{name}={path} exists already; choose another place, or replace it with "
      "--overwrite (overwrite=True in Python)."
    )
  if not is_free and not is_own(place):  # Never delete what is not ours.
    raise errors.UserError(
      f"{name}={path} is not {kind}, so it is not overwritten; choose another "
      "place, or remove it by hand."
    )
  check_writable(path, name)
  return place


def check_writable(
  path: str | os.PathLike[str], name: str, *, inside: bool = False
) -> None:
  """Raises UserError where a file or a folder cannot be made at `path`.

  It is tried, where the nearest folder that is there lies, again while the
  storage fails, and nothing is left behind. Remote paths pass: they are tried
  by writing alone.

  Args:
    path: as the user gave it.
    name: of the flag or argument that it was given for.
    inside: `path` is a folder that is written into, not replaced.
  """
  target = _absolute(path, name)
  if storage.is_remote(target):
    return
  nearest = target if inside else target.parent
  while not os.path.lexists(nearest):
    nearest = nearest.parent
  try:
    retrying.call(
      lambda: tempfile.TemporaryFile(dir=nearest).close(),
      f"A file in {nearest}",
    )
  except OSError as error:
    reason = error.strerror or error
    raise errors.UserError(
      f"{name}={path} cannot be written: {nearest} is not a folder that you "
      f"may write to ({reason}); name a place in one that is."
    ) from error


def _absolute(path: Any, name: str) -> epath.Path:
  """Returns the path, made absolute; of "" it would be the folder around."""
  if not isinstance(path, str | os.PathLike) or not os.fspath(path):
    raise errors.UserError(f"{name}={path!r} must be a path, and not empty.")
  return storage.absolute(path)
