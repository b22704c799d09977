"""Folders as users name them, local or remote."""

import os

from etils import epath


def absolute(path: str | os.PathLike[str]) -> epath.Path:
  """Returns a local path made absolute, a remote one (gs://...) as it is.

  Orbax takes no relative paths; pathlib would make one of "gs://".
  """
  path = os.fspath(path)
  if "://" in path:
    return epath.Path(path)
  return epath.Path(os.path.abspath(os.path.expanduser(path)))
