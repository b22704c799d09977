"""One run at a time in a workdir: a lock that dies with its process."""

import contextlib
import datetime
import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from absl import logging
from etils import epath
from jax.experimental import multihost_utils

from van_jax import errors, storage

NAME = ".lock"
_BEAT_SECONDS = 20.0  # Between two signs of life in an object store.
_PATIENCE_SECONDS = 70.0  # Without any, their writer is dead.


@contextlib.contextmanager
def held(workdir: str | os.PathLike[str]) -> Iterator[None]:
  """Keeps every other run out of a folder while the context lasts.

  On a file system the kernel holds the lock, and lets it go however the
  process ends. An object store (gs://) has none: there, a file that its owner
  writes again and again says that it lives, and a run that finds one waits a
  minute for it to change. Of several processes the first one locks. Whoever
  only reads, as eval.py does, asks nobody.

  Args:
    workdir: the run's folder; made if it is not there.

  Raises:
    UserError: in all processes, when another run has it.
  """
  folder = storage.absolute(workdir)
  lock = contextlib.ExitStack()
  refusal = ""
  if jax.process_index() == 0:
    try:
      folder.mkdir(parents=True, exist_ok=True)
      held_by = _leased if storage.is_remote(folder) else _locked
      lock.enter_context(held_by(folder))
    except errors.UserError as error:
      refusal = str(error)
    except OSError as error:  # Or the other processes would wait for ever.
      refusal = (
        f"workdir={workdir} cannot be locked: {error.strerror or error}; mend "
        "that, or name another folder."
      )
  refused = multihost_utils.broadcast_one_to_all(np.int32(bool(refusal)))
  if int(refused):
    raise errors.UserError(refusal or f"another run has workdir={workdir}.")
  with lock:
    yield


@contextlib.contextmanager
def _locked(folder: epath.Path) -> Iterator[None]:
  """Holds the kernel's lock on a file of a folder."""
  import fcntl  # POSIX has it.

  path = folder / NAME
  with open(path, "a+b") as file:
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
    try:
      yield
    finally:  # Its content would outlive the lock.
      file.truncate(0)


@contextlib.contextmanager
def _leased(folder: epath.Path) -> Iterator[None]:
  """Holds a file that is written again and again."""
  path = folder / NAME
  _wait_for_silence(folder, path)
  owner, stopped = _owner(), threading.Event()

  def beat(count: int):
    path.write_text(json.dumps({**owner, "beat": count}))

  def keep_beating():
    count = 0
    while not stopped.wait(_BEAT_SECONDS):
      count += 1
      try:
        if _read(path).get("nonce", owner["nonce"]) != owner["nonce"]:
          logging.error("Another run has taken over %s; stop this one.", folder)
          return
        beat(count)
      except Exception as error:  # A store may fail for a while.
        logging.warning("%s cannot be renewed: %s.", path, error)

  beat(0)
  beating = threading.Thread(target=keep_beating, daemon=True)
  beating.start()
  try:
    yield
  finally:
    stopped.set()
    beating.join(_BEAT_SECONDS)
    if _read(path).get("nonce") == owner["nonce"]:
      path.unlink(missing_ok=True)


def _wait_for_silence(folder: epath.Path, path: epath.Path) -> None:
  """Raises UserError when a lease is renewed; no clock is compared."""
  before = _read(path)
  if not before:
    return
  if before.get("host") == socket.gethostname() and not storage.is_running(
    before.get("pid", 0)
  ):
    return
  logging.info(
    "%s was left by another run; waiting %.0f s for a sign of life.",
    path,
    _PATIENCE_SECONDS,
  )
  threading.Event().wait(_PATIENCE_SECONDS)
  if (now := _read(path)) and now != before:
    raise _refusal(folder, now)


def _owner() -> dict[str, Any]:
  return {
    "pid": os.getpid(),
    "host": socket.gethostname(),
    "since": datetime.datetime.now().astimezone().isoformat(" ", "seconds"),
    "nonce": uuid.uuid4().hex,
  }


def _read(path: epath.Path) -> dict[str, Any]:
  """Returns who says to hold a lock; nothing where nobody does."""
  try:
    owner = json.loads(path.read_text())
  except (OSError, ValueError):
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
