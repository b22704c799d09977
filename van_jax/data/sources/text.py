"""Small text files beside the data, local or remote (gs://...)."""

from __future__ import annotations

import os

from van_jax import errors, storage
from van_jax.data.tensorflow import tf


def is_file(path: str) -> bool:
  """Says whether `path` is a file."""
  if not storage.is_remote(path):
    return os.path.isfile(path)
  return tf.io.gfile.exists(path) and not tf.io.gfile.isdir(path)


def read(path: str) -> str:
  """Returns the content of a file of UTF-8, or raises UserError."""
  try:
    if storage.is_remote(path):
      with tf.io.gfile.GFile(path, "rb") as file:
        return file.read().decode("utf-8-sig")
    with open(path, "rb") as file:
      return file.read().decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise errors.UserError(
      f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8."
    ) from error
  except OSError as error:
    raise errors.UserError(
      f"{path} cannot be read: {error.strerror}."
    ) from error


def numbered_names(path: str) -> tuple[str, ...]:
  """Returns the names in a file of one a line, which their places number.

  Raises:
    UserError: a line before the last name is blank, or as `read`.
  """
  found = [line.strip() for line in read(path).rstrip().splitlines()]
  if "" in found:
    raise errors.UserError(
      f"line {found.index('') + 1} of {path} is blank, and its lines are the "
      "classes 0, 1, ... in their order: take it out, or write the name of the "
      "class that it stands for."
    )
  return tuple(found)


def lines(path: str) -> list[str]:
  """Returns the lines of a file that hold something, stripped."""
  stripped = (line.strip() for line in read(path).splitlines())
  return [line for line in stripped if line]
