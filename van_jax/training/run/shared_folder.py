"""Whether a folder is the same one for all processes, on all their hosts."""

import contextlib
import json
import os
import socket
import time
import uuid

import jax
from etils import epath

from van_jax import errors, storage
from van_jax.parallel import processes

_MARK = ".mark-"  # And a number that nobody else has.
_PATIENCE_SECONDS = 10.0  # A network file system may show a new file late.
_LOOK_SECONDS = 0.1


def check(workdir: str | os.PathLike[str]) -> None:
  """Checks that what the first process writes in a folder, all others see.

  The folder is made if it is not there. All processes call this; one alone
  returns at once.

  Raises:
    UserError: in all of them, naming who does not, its host and its path.
  """
  if not processes.several():
    return
  folder = storage.absolute(workdir)
  name = processes.broadcast("name of a mark", _MARK + uuid.uuid4().hex)
  is_new = not folder.exists()
  processes.first_does("a mark in the workdir", lambda: _leave(folder / name))
  mine = {
    "host": socket.gethostname(),
    "path": os.fspath(folder),
    "sees": _sees(folder / name),
  }
  said = processes.gather("who sees the mark", json.dumps(mine))
  found = [json.loads(each) for each in said]
  blind = [i for i, each in enumerate(found) if not each["sees"]]
  if jax.process_index() == 0:
    (folder / name).unlink(missing_ok=True)
    if blind and is_new:
      with contextlib.suppress(OSError):  # What is said below matters more.
        folder.rmdir()
  if blind:
    first, other = found[0], found[blind[0]]
    raise errors.UserError(
      "workdir is not one folder for all processes: what process 0 wrote in "
      f"{first['path']} on {first['host']}, {processes.listed(blind)} cannot "
      f"see (in {other['path']} on {other['host']}); name a folder that all "
      "hosts share: NFS, or gs://..."
    )


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
