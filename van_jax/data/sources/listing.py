"""What lies in a folder, local or remote (gs://...); names only.

Local folders are listed without TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent import futures
from typing import NamedTuple

from van_jax import errors, storage
from van_jax.data import formats
from van_jax.data.tensorflow import tf

_REQUESTS = 32  # At a time: a remote listing takes a tenth of a second.
# Of file systems whose listings mark folders by a slash, which saves a request
# for every name.
_MARKING = ("gs://", "s3://")
# What desktops write into folders, beside .hidden files.
_OF_DESKTOPS = ("Thumbs.db", "desktop.ini", "__MACOSX")


class Images(NamedTuple):
  """What a folder holds, in itself and in its folders.

  Attributes:
    names: of image files, "NAME" or "FOLDER/NAME", sorted.
    others: of other files, likewise; hidden ones are in neither.
  """

  names: list[str]
  others: list[str]


def absolute(path: str) -> str:
  """Returns a local path made absolute, a remote one as it is.

  TensorFlow has file systems (ram://, hdfs://) that `storage` knows not.
  """
  return path if storage.is_remote(path) else os.fspath(storage.absolute(path))


def is_folder(path: str) -> bool:
  """Says whether `path` is a folder."""
  if not storage.is_remote(path):
    return os.path.isdir(path)
  try:
    return tf.io.gfile.isdir(path)
  except tf.errors.OpError as error:
    raise errors.UserError(f"{path} cannot be read: {error.message}") from error


def folders(path: str) -> list[str]:
  """Returns the names of the folders in a folder, sorted, without .hidden."""
  if storage.is_remote(path):
    # Object stores mark folders by a slash and save us a question for each.
    names = [
      name.rstrip("/")
      for name in _remote_names(path)
      if name.endswith("/") or tf.io.gfile.isdir(os.path.join(path, name))
    ]
  else:
    names = [entry.name for entry in _entries(path) if _is_folder(entry)]
  return sorted(name for name in names if not _is_hidden(name))


def files(path: str) -> list[str]:
  """Returns the names of what is no folder in a folder, without .hidden."""
  if storage.is_remote(path):
    names = [
      name
      for name in _remote_names(path)
      if not name.endswith("/")
      and (
        path.startswith(_MARKING)
        or not tf.io.gfile.isdir(os.path.join(path, name))
      )
    ]
  else:
    names = [entry.name for entry in _entries(path) if not _is_folder(entry)]
  return sorted(name for name in names if not _is_hidden(name))


def images(path: str) -> Images:
  """Returns the files of a folder, and of the folders in it."""
  found = Images([], [])
  if storage.is_remote(path):
    _add_remote(path, "", found)
  else:
    _add_local(path, "", (os.path.realpath(path),), found)
  return Images(sorted(found.names), sorted(found.others))


def images_of_each(paths: list[str]) -> Iterator[Images]:
  """Returns what `images` does, for folder after folder."""
  if not paths or not storage.is_remote(paths[0]):
    return map(images, paths)
  with futures.ThreadPoolExecutor(_REQUESTS) as executor:
    return executor.map(images, paths)


def _add_local(
  path: str, prefix: str, above: tuple[str, ...], found: Images
) -> None:
  """Adds the files of a folder to `found`.

  Args:
    path: of the folder.
    prefix: of the names of its files.
    above: the folder and those around it, without links: a link to one of them
      leads round and round.
    found: is added to.
  """
  for entry in _entries(path):
    name = prefix + entry.name
    if _is_hidden(entry.name):
      continue
    if _is_folder(entry):
      real = os.path.join(above[-1], entry.name)
      if entry.is_symlink():
        real = os.path.realpath(entry)
      if real not in above:
        _add_local(entry.path, f"{name}/", (*above, real), found)
    # A link that leads nowhere is no image, nor is a pipe.
    elif _is_image(entry.name) and entry.is_file():
      found.names.append(name)
    else:
      found.others.append(name)


def _add_remote(path: str, prefix: str, found: Images) -> None:
  for listed in _remote_names(path):
    name = listed.rstrip("/")
    inner = os.path.join(path, name)
    if _is_hidden(name):
      continue
    if name != listed:
      _add_remote(inner, f"{prefix}{name}/", found)
    elif _is_image(name):
      found.names.append(prefix + name)
    elif not path.startswith(_MARKING) and tf.io.gfile.isdir(inner):
      _add_remote(inner, f"{prefix}{name}/", found)
    else:
      found.others.append(prefix + name)


def _entries(path: str) -> list[os.DirEntry]:
  """Returns what lies in a local folder, or raises UserError."""
  try:
    with os.scandir(path) as entries:
      return list(entries)
  except PermissionError as error:
    raise errors.UserError(
      f"{path} may not be listed: permission is denied. Make it readable, by "
      f"`chmod -R u+rX {path}` or as its owner, or move it away."
    ) from error
  except OSError as error:
    raise errors.UserError(
      f"{path} cannot be listed: {error.strerror}."
    ) from error


def _is_folder(entry: os.DirEntry) -> bool:
  try:
    return entry.is_dir()
  except OSError:  # A link to itself.
    return False


def _remote_names(path: str) -> list[str]:
  try:
    return tf.io.gfile.listdir(path)
  except tf.errors.OpError as error:
    raise errors.UserError(
      f"{path} cannot be listed: {error.message}"
    ) from error


def _is_image(name: str) -> bool:
  return name.lower().endswith(formats.EXTENSIONS)


def _is_hidden(name: str) -> bool:
  return not name or name.startswith(".") or name in _OF_DESKTOPS
