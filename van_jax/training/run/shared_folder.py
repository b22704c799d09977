"""Whether a folder is the same one for all processes, on all their hosts."""

import contextlib
import json
import os
import socket
import time
import uuid

from etils import epath

from van_jax import errors, storage
from van_jax.parallel import processes

_MARK = ".mark-"  # And a number that nobody else has.
_PATIENCE_SECONDS = 10.0  # A network file system may show a new file late.
_LOOK_SECONDS = 0.1


def check(workdir: str | os.PathLike[str]) -> None:
  """Checks that what the first process writes in a folder, all others see.

  A folder that is not there is made, and removed again: what is refused after
  this leaves none behind. All processes call this; one alone returns at once.

  Raises:
    UserError: in all of them, naming who does not, its host and its path.
  """
  if not processes.several():
    return
  folder = storage.absolute(workdir)
  name = processes.broadcast("name of a mark", _MARK + uuid.uuid4().hex)
  absent = _absent(folder)
  processes.first_does("a mark in the workdir", lambda: _leave(folder / name))
  mine = {
    "host": socket.gethostname(),
    "path": os.fspath(folder),
    "sees": _sees(folder / name),
  }
  said = processes.gather("who sees the mark", json.dumps(mine))
  found = [json.loads(each) for each in said]
  blind = [i for i, each in enumerate(found) if not each["sees"]]
  if processes.index() == 0:
    (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # Somebody else has put a file there.
      for path in absent:
        path.rmdir()
  if blind:
    first, other = found[0], found[blind[0]]
    raise errors.UserError(
      "workdir is not one folder for all processes: what process 0 wrote in "
      f"{first['path']} on {first['host']}, {processes.listed(blind)} cannot "
      f"see (in {other['path']} on {other['host']}); name a folder that all "
      "hosts share: NFS, or gs://..."
    )


def _absent(folder: epath.Path) -> list[epath.Path]:
  """Returns a folder and those that it lies in, where they are not there yet.

  An object store has no folders.
  """
  absent = []
  while not storage.is_remote(folder) and not folder.exists():
    absent.append(folder)
    folder = folder.parent
  return absent


def _leave(mark: epath.Path) -> None:
  """Writes a mark, and removes those of killed runs."""
  mark.parent.mkdir(parents=True, exist_ok=True)
  for path in mark.parent.glob(f"{_MARK}*"):
    path.unlink(missing_ok=True)
  mark.write_text("")


def _sees(mark: epath.Path) -> bool:
  deadline = time.monotonic() + _PATIENCE_SECONDS
  while not mark.exists():
    if time.monotonic() > deadline:
      return False
    time.sleep(_LOOK_SECONDS)
  return True
