"""One run at a time in a workdir: a lock that dies with its process."""

import contextlib
import datetime
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from absl import logging
from etils import epath

from van_jax import errors, storage
from van_jax.parallel import processes

NAME = ".lock"
_BEAT_SECONDS = 20.0  # Between two signs of life in an object store.
_END_SECONDS = 20.0  # For the last one to be written.
_PATIENCE_SECONDS = 70.0  # Without any, their writer is dead.


@contextlib.contextmanager
def held(workdir: str | os.PathLike[str]) -> Iterator[Callable[[], None]]:
  """Keeps every other run out of a folder while the context lasts.

  It yields a function that all processes of the run call before they write
  what another run must not find: it raises UserError when one has the folder
  by now, because this one was halted for a minute, or its folder removed.

  On a file system the kernel holds the lock, and lets it go however the
  process ends. An object store (gs://) has none: there, a file that its owner
  writes again and again says that it lives, and a run that finds one waits a
  minute for it to change. Of several processes the first one locks. Whoever
  only reads, as eval.py does, asks nobody.

  Args:
    workdir: the run's folder; made if it is not there.

  Raises:
    UserError: in all processes, when another run has it; StillFailingError, or
      one whose cause passes, when the storage fails.
  """
  folder = storage.absolute(workdir)
  is_ours: list[Callable[[], bool]] = [_always]

  def take():
    try:
      folder.mkdir(parents=True, exist_ok=True)
      held_by = _leased if storage.is_remote(folder) else _locked
      is_ours[:] = [lock.enter_context(held_by(folder))]
    except OSError as error:
      raise errors.UserError(
        f"workdir={workdir} cannot be locked: {error.strerror or error}; mend "
        "that, or name another folder."
      ) from error

  def check():
    ours = "ours" if is_ours[0]() else ""
    if not processes.broadcast("whose workdir it is", ours):
      raise errors.UserError(
        f"workdir={workdir} was taken over by another run while this one was "
        "halted, or its folder removed; this one stops, and writes no more."
      )

  with contextlib.ExitStack() as lock:
    processes.first_does("locking the workdir", take)
    yield check


def _always() -> bool:
  return True


@contextlib.contextmanager
def _locked(folder: epath.Path) -> Iterator[Callable[[], bool]]:
  """Holds the kernel's lock on a file of a folder; says whether it is there."""
  import fcntl  # POSIX has it.

  path = folder / NAME
  with path.open("ab") as file:  # Tried again while the storage fails.
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise _refusal(folder, _read(path)) from None
    except OSError as error:
      logging.warning(
        "%s has no locks (%s): a second run in it would not be noticed.",
        folder,
        error.strerror,
      )
    file.truncate(0)
    file.write(json.dumps(_owner()).encode())
    file.flush()

    def is_ours():  # A file that is gone is nobody's.
      try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
      except OSError:
        return True

    try:
      yield is_ours
    finally:  # Its content would outlive the lock.
      file.truncate(0)


@contextlib.contextmanager
def _leased(folder: epath.Path) -> Iterator[Callable[[], bool]]:
  """Holds a file that is written again and again; says whether it is ours."""
  path = folder / NAME
  _wait_for_silence(folder, path)
  owner, stopped = _owner(), threading.Event()

  def beat(count: int):
    path.write_text(json.dumps({**owner, "beat": count}))

  def is_ours():  # So is one that cannot be read for a while.
    return _read(path).get("nonce", owner["nonce"]) == owner["nonce"]

  def keep_beating():
    count = 0
    while not stopped.wait(_BEAT_SECONDS):
      count += 1
      try:
        if not is_ours():
          return  # The next check says so.
        beat(count)
      except Exception as error:  # A store may fail for a while.
        logging.warning("%s cannot be renewed: %s.", path, error)

  beat(0)
  beating = threading.Thread(target=keep_beating, daemon=True)
  beating.start()
  try:
    yield is_ours
  finally:
    stopped.set()
    beating.join(_END_SECONDS)
    if _read(path).get("nonce") == owner["nonce"]:
      path.unlink(missing_ok=True)


def _wait_for_silence(folder: epath.Path, path: epath.Path) -> None:
  """Raises UserError when a lease is renewed; no clock is compared.

  Contents are compared, not owners: one that cannot be read as an owner, as
  it is being written, is no sign that nobody holds the lease.
  """
  before = _content(path)
  if before is None:
    return
  owner = _owner_in(before)
  if owner.get("host") == socket.gethostname() and not storage.is_running(
    owner.get("pid", 0)
  ):
    return
  logging.info(
    "%s was left by another run; waiting %.0f s for a sign of life.",
    path,
    _PATIENCE_SECONDS,
  )
  time.sleep(_PATIENCE_SECONDS)
  now = _content(path)
  if now is not None and now != before:
    raise _refusal(folder, _owner_in(now))


def _owner() -> dict[str, Any]:
  return {
    "pid": os.getpid(),
    "host": socket.gethostname(),
    "since": datetime.datetime.now().astimezone().isoformat(" ", "seconds"),
    "nonce": uuid.uuid4().hex,
  }


def _read(path: epath.Path) -> dict[str, Any]:
  """Returns who says to hold a lock; nothing where that cannot be read."""
  try:
    return _owner_in(_content(path) or b"")
  except OSError:
    return {}


def _content(path: epath.Path) -> bytes | None:
  try:
    return path.read_bytes()
  except FileNotFoundError:
    return None


def _owner_in(content: bytes) -> dict[str, Any]:
  try:
    owner = json.loads(content)
  except ValueError:
    return {}
  return owner if isinstance(owner, dict) else {}


def _refusal(folder: epath.Path, owner: dict[str, Any]) -> errors.UserError:
  who = "another process"
  if {"pid", "host", "since"} <= owner.keys():
    who = "process {pid} on {host} since {since}".format_map(owner)
  return errors.UserError(
    f"workdir={folder} is being trained in by {who}: two runs would spoil each "
    "other's checkpoints. Wait for that one, stop it, or name another folder."
  )
