"""Paths as users write them, and writing beside, then renaming."""

import contextlib
import os
from collections.abc import Iterator

from etils import epath


def absolute(path: str | os.PathLike[str]) -> epath.Path:
  """Returns a local path made absolute, a remote one (gs://...) as it is.

  Orbax takes no relative paths; pathlib would make one of "gs://".
  """
  path = os.fspath(path)
  if "://" in path:
    return epath.Path(path)
  return epath.Path(os.path.abspath(os.path.expanduser(path)))


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[epath.Path]:
  """Yields where to write a file or a folder, which then becomes `path`.

    with storage.replacing("runs/scores.json") as draft:
      draft.write_text(text)

  The draft lies beside `path`, whose parents are made. It is renamed when the
  context ends well, and removed when it ends with an error. At every moment
  what was at `path`, or what replaces it, is on disk whole; of a folder that
  is replaced by another, under a name of its own for the moment between two
  renames. Object stores (gs://) copy where others rename: slower, and a
  process that dies meanwhile can leave a part.

  Args:
    path: may exist; whether it may be replaced is the caller's to check.
  """
  path = absolute(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  draft = path.parent / f".{path.name}.{os.getpid()}.incomplete"
  _remove(draft)  # Of a process that was killed; pids come again.
  try:
    yield draft
    _move(draft, path)
  finally:
    _remove(draft)


def _move(draft: epath.Path, path: epath.Path) -> None:
  """Renames a file or folder; it takes the place of one that is there."""
  if not path.is_dir():
    draft.replace(path)
    return
  replaced = path.parent / f".{path.name}.{os.getpid()}.replaced"
  _remove(replaced)
  path.rename(replaced)
  try:
    draft.rename(path)
  except BaseException:
    replaced.rename(path)
    raise
  _remove(replaced)


def _remove(path: epath.Path) -> None:
  if path.is_dir():
    path.rmtree()
  else:
    path.unlink(missing_ok=True)
