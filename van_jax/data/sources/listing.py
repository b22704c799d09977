"""What lies in a folder, local or remote (gs://...); names only.

Local folders are listed without TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent import futures

from van_jax import errors, storage
from van_jax.data.tensorflow import tf

EXTENSIONS = (".jpeg", ".jpg", ".png")
_REQUESTS = 32  # At a time: a remote listing takes a tenth of a second.


def is_remote(path: str) -> bool:
  """Says whether a path is for TensorFlow's file systems alone."""
  return "://" in path


def absolute(path: str) -> str:
  """Returns a local path made absolute, a remote one as it is.

  TensorFlow has file systems (ram://, hdfs://) that `storage` knows not.
  """
  return path if is_remote(path) else os.fspath(storage.absolute(path))


def is_folder(path: str) -> bool:
  """Says whether `path` is a folder."""
  if not is_remote(path):
    return os.path.isdir(path)
  try:
    return tf.io.gfile.isdir(path)
  except tf.errors.OpError as error:
    raise errors.UserError(f"{path} cannot be read: {error.message}") from error


def folders(path: str) -> list[str]:
  """Returns the names of the folders in a folder, sorted, without .hidden."""
  if is_remote(path):
    names = tf.io.gfile.listdir(path)
    # Object stores mark folders by a slash and save us a question for each.
    names = [
      name.rstrip("/")
      for name in names
      if name.endswith("/") or tf.io.gfile.isdir(os.path.join(path, name))
    ]
  else:
    with os.scandir(path) as entries:
      names = [entry.name for entry in entries if entry.is_dir()]
  return sorted(name for name in names if name and not name.startswith("."))


def images(path: str) -> list[str]:
  """Returns the names of the image files in a folder, sorted."""
  names = tf.io.gfile.listdir(path) if is_remote(path) else os.listdir(path)
  return sorted(
    name
    for name in names
    if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
  )


def images_of_each(paths: list[str]) -> Iterator[list[str]]:
  """Returns what `images` does, for folder after folder."""
  if not paths or not is_remote(paths[0]):
    return map(images, paths)
  with futures.ThreadPoolExecutor(_REQUESTS) as executor:
    return executor.map(images, paths)
