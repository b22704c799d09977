"""Paths as users write them, and writing beside, then renaming."""

import contextlib
import errno
import json
import os
import pathlib
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from etils import epath

from van_jax import errors, retrying


def absolute(path: str | os.PathLike[str]) -> epath.Path:
  """Returns a local path made absolute, a remote one (gs://...) as it is.

  Whatever path a user gives goes through here, once: "~" is the home folder.
  Storage that fails for a while is asked again, here and in all paths below.
  Orbax takes no relative paths; pathlib would make one of "gs://".

  Raises:
    UserError: if it starts with "~", and there is no such home folder.
  """
  path = os.fspath(path)
  if is_remote(path):
    return retrying.path(path)
  expanded = os.path.expanduser(path)
  if expanded.startswith("~"):  # Or it would become a folder of that name.
    raise errors.UserError(
      f"{path} starts with a home folder that there is not; write the folder "
      f"in full, or ./{path} for a file of that name."
    )
  return retrying.path(os.path.abspath(expanded))


def is_remote(path: str | os.PathLike[str]) -> bool:
  """Returns whether a path is of no local file system."""
  return "://" in os.fspath(path)


def read_json(path: str | os.PathLike[str]) -> Any:
  """Returns what a JSON file holds.

  Raises:
    OSError: when it cannot be read.
    ValueError: when it is no JSON, or nested deeper than Python can follow.
  """
  try:
    return json.loads(absolute(path).read_text(encoding="utf-8"))
  except RecursionError as error:
    raise ValueError("it is nested too deep") from error


@contextlib.contextmanager
def local_copy(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
  """Yields a local file for readers that need one: a remote file's copy."""
  path = absolute(path)
  if not is_remote(path):
    yield pathlib.Path(path)
    return
  with tempfile.TemporaryDirectory(prefix="van_jax_") as folder:
    yield pathlib.Path(path.copy(os.path.join(folder, path.name)))


@contextlib.contextmanager
def local_draft(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
  """Yields where writers that need a local place may put a file or a folder.

  What is there in the end is copied to `path`, where that is remote.
  """
  path = absolute(path)
  if not is_remote(path):
    yield pathlib.Path(path)
    return
  with tempfile.TemporaryDirectory(prefix="van_jax_") as folder:
    draft = pathlib.Path(folder) / path.name
    yield draft
    _copy(epath.Path(draft), path)


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
  remove_leftovers(path.parent, path.name)
  draft = _draft(path, "incomplete")
  try:
    yield draft
    _move(draft, path)
  except Exception as error:
    if reason := lack_of_space(error):
      raise errors.UserError(
        f"{path} could not be written: {reason}; what was there before is "
        "untouched. Free space, or name a place on another disk."
      ) from error
    raise
  finally:
    _discard(draft)


def remove_leftovers(folder: epath.Path, name: str | None = None) -> None:
  """Removes drafts that killed processes of this host left in a folder.

  What such a process had moved out of the way, and not yet replaced, goes back
  to its place.

  Args:
    folder: a local one; of others it is not known who lives.
    name: of the file or folder that the drafts were of; None for all.
  """
  if is_remote(folder) or not folder.is_dir():
    return
  for path in folder.iterdir():
    found = _DRAFT.fullmatch(path.name)
    if not found or name not in (None, _name(path.name)):
      continue
    ours = found["host"] in (None, _host())
    pid = int(found["pid"])
    if not ours or (is_running(pid) and pid != os.getpid()):
      continue
    place = folder / found["name"]
    if found["end"] == "replaced" and not place.exists():
      path.rename(place)
    else:
      _remove(path)


def is_running(pid: int) -> bool:
  """Returns whether there is a process of this number on this host."""
  try:
    os.kill(pid, 0)
  except (ProcessLookupError, OverflowError):
    return False
  except OSError:  # Somebody else's.
    return True
  return True


# Earlier versions did not name the host, which matters on shared disks.
_DRAFT = re.compile(
  r"\.(?P<name>.+)\.((?P<host>[^.]+)-)?(?P<pid>\d+)\.(?P<end>incomplete|replaced)"
)
_QUIET = 6  # Looks in a row, 0.05 s apart, at which a draft is not there.
_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def draft_name(name: str, end: str = "incomplete") -> str:
  """Returns the name of a file's draft, which `remove_leftovers` knows."""
  return f".{name}.{_host()}-{os.getpid()}.{end}"


def is_draft(name: str) -> bool:
  """Returns whether a name is that of any process's draft."""
  return _DRAFT.fullmatch(name) is not None


def _draft(path: epath.Path, end: str) -> epath.Path:
  return path.parent / draft_name(path.name, end)


def _name(draft: str) -> str:
  """Returns the name that a draft is for; drafts may be of drafts."""
  while found := _DRAFT.fullmatch(draft):
    draft = found["name"]
  return draft


def _host() -> str:
  return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())


def lack_of_space(error: BaseException) -> str:
  """Returns what a full disk, or one like it, was reported as; or nothing.

  Libraries wrap what the system says in errors of their own.
  """
  chain: BaseException | None = error
  while chain is not None:
    for number in _SPACE:
      text = os.strerror(number)
      if getattr(chain, "errno", None) == number or text in str(chain):
        return text
    chain = chain.__cause__ or chain.__context__
  return ""


def _move(draft: epath.Path, path: epath.Path) -> None:
  """Renames a file or folder; it takes the place of one that is there."""
  if not path.is_dir():
    draft.replace(path)
    return
  replaced = _draft(path, "replaced")
  path.rename(replaced)
  try:
    draft.rename(path)
  except BaseException:
    replaced.rename(path)
    raise
  _remove(replaced)


def _copy(source: epath.Path, target: epath.Path) -> None:
  if not source.is_dir():
    source.copy(target)
    return
  target.mkdir()
  for part in source.iterdir():
    _copy(part, target / part.name)


def _discard(draft: epath.Path) -> None:
  """Removes a draft, and what threads of a failed writer then add to it.

  Orbax passes on the first error, while other files are being written.
  """
  is_folder = draft.is_dir()
  _remove(draft)
  quiet = 0 if is_folder and not is_remote(draft) else _QUIET
  for _ in range(10 * _QUIET):
    if quiet >= _QUIET:
      return
    time.sleep(0.05)
    quiet = 0 if draft.exists() else quiet + 1
    with contextlib.suppress(OSError):  # A file may come as it is removed.
      _remove(draft)


def _remove(path: epath.Path) -> None:
  if path.is_dir():
    path.rmtree()
  else:
    path.unlink(missing_ok=True)
