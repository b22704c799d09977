"""Where downloads and their bundles are kept, and who may write there now.

FOLDER/files/DIGITS/NAME           a file, and its record NAME.json
FOLDER/files/DIGITS/NAME.partial   what has come of it
FOLDER/bundles/DIGEST              the bundle made of a file
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator

from van_jax import errors, storage

VARIABLE = "VAN_JAX_CACHE"
_ROOM, _ROOM_SECONDS = ".making_", 86_400  # No conversion takes a day.
_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 600  # For another process whose download does not grow.


@dataclasses.dataclass(frozen=True)
class Record:
  """What is known of a file that was fetched.

  Attributes:
    address: that it came from; no passwords.
    sha256: of it.
    bytes: its size.
  """

  address: str
  sha256: str
  bytes: int


def folder(given: str | os.PathLike[str] | None = None) -> pathlib.Path:
  """Returns the cache's folder, made if need be.

  Args:
    given: None for what VAN_JAX_CACHE names, or `van_jax` in the user's folder
      of caches (XDG_CACHE_HOME, ~/.cache).

  Raises:
    UserError: if there is none and it cannot be made, or it is not local. One
      that can only be read will do for what it holds.
  """
  chosen = given or os.environ.get(VARIABLE) or _default()
  path = storage.absolute(chosen)
  if storage.is_remote(path):
    raise errors.UserError(
      f"the cache {chosen} must be a local folder; name one with {VARIABLE}, "
      "or the cache option."
    )
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise unwritable(chosen, error) from error
  return pathlib.Path(path)


def unwritable(
  path: str | os.PathLike[str], error: OSError
) -> errors.UserError:
  """Returns the error of a place in the cache that cannot be written."""
  reason = error.strerror or error
  return errors.UserError(
    f"the cache {path} cannot be written ({reason}); make room, or name "
    f"another folder with {VARIABLE}, or the cache option."
  )


def place(cache: pathlib.Path, url: str, name: str) -> pathlib.Path:
  """Returns the path of a file from an address."""
  digits = hashlib.sha256(url.encode()).hexdigest()[:12]
  return cache / "files" / digits / name


def partial(path: pathlib.Path) -> pathlib.Path:
  """Returns where a file is until it is whole."""
  return path.with_name(f"{path.name}.partial")


def read_record(path: pathlib.Path) -> Record | None:
  """Returns what is known of the file that is, or was, at a path."""
  try:
    fields = storage.read_json(_record_path(path))
    return Record(**{**fields, "sha256": bytes.fromhex(fields["sha256"]).hex()})
  except (OSError, ValueError, KeyError, TypeError):
    return None


def write_record(path: pathlib.Path, record: Record) -> None:
  """Writes it beside the file."""
  text = json.dumps(dataclasses.asdict(record), indent=2) + "\n"
  with storage.replacing(_record_path(path)) as draft:
    draft.write_text(text, encoding="utf-8")


def digest(path: pathlib.Path) -> str:
  """Returns the SHA-256 of a file, in hexadecimal."""
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
  """Holds the right to fetch a file; dies with its process.

  Raises:
    UserError: if another process has it, and gets no further.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  with path.with_name(f"{path.name}.lock").open("ab") as file:
    # No locks on some file systems, and on Windows: then two may fetch at
    # once, and hashes find what they spoil.
    with contextlib.suppress(OSError, ImportError):
      _wait(file.fileno(), path)
    yield


@contextlib.contextmanager
def room(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields a folder of one's own beside `path`, and removes what is left."""
  path.parent.mkdir(parents=True, exist_ok=True)
  for left in path.parent.glob(f"{_ROOM}*"):  # By processes that were killed.
    with contextlib.suppress(OSError):
      if time.time() - left.stat().st_mtime > _ROOM_SECONDS:
        shutil.rmtree(left)
  own = pathlib.Path(tempfile.mkdtemp(prefix=_ROOM, dir=path.parent))
  try:
    yield own
  finally:
    shutil.rmtree(own, ignore_errors=True)


def _wait(descriptor: int, path: pathlib.Path) -> None:
  import fcntl

  said, size, since = False, -1, time.monotonic()
  while True:
    try:
      return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      pass
    if not said:
      said = True
      print(f"Another process fetches {path.name}; waiting.", file=sys.stderr)
    with contextlib.suppress(OSError):
      if (now := partial(path).stat().st_size) != size:
        size, since = now, time.monotonic()
    if time.monotonic() - since > _PATIENCE_SECONDS:
      raise errors.UserError(
        f"another process holds {path}.lock and fetches nothing; end it, and "
        "start again."
      )
    time.sleep(_POLL_SECONDS)


def _default() -> str:
  home = os.environ.get("XDG_CACHE_HOME", "").strip()
  if not os.path.isabs(home):  # What the XDG specification wants ignored.
    home = os.path.join(os.path.expanduser("~"), ".cache")
  if home.startswith("~"):  # Some containers' users have no home.
    raise errors.UserError(
      f"there is no home folder to keep downloads in; name one with {VARIABLE}."
    )
  return os.path.join(home, "van_jax")


def _record_path(path: pathlib.Path) -> pathlib.Path:
  return path.with_name(f"{path.name}.json")
