"""A data set that is a folder of class folders of image files.

Listing needs no TensorFlow: names only, no file is opened.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from van_jax.data import order
from van_jax.data.host import tf

EXTENSIONS = (".jpeg", ".jpg", ".png")


@dataclasses.dataclass(frozen=True)
class FileSplit(order.IndexedSplit):
  """Examples that are files, any of which can be read at any time.

  Attributes:
    title: the split's directory; holds a folder a class.
    files: [N], "CLASS/NAME" below the directory, sorted.
    labels: [N] int32.
    class_names: sorted names of the class folders.
  """

  title: str
  files: tuple[str, ...]
  labels: np.ndarray
  class_names: tuple[str, ...]

  @property
  def size(self) -> int:
    """Number of examples."""
    return len(self.files)

  @functools.cached_property
  def _tensors(self) -> tuple[Any, Any]:
    # Out of any graph: a graph would hold a copy of all the names.
    with tf.init_scope():
      return tf.constant(self.files), tf.constant(self.labels)

  def fetch(self, handle: Any) -> tuple[Any, Any]:
    """Reads the file of an index."""
    files, labels = self._tensors
    path = os.path.join(self.title, "") + files[handle]
    return tf.io.read_file(path), labels[handle]

  def describe(self, index: int) -> str:
    """Returns the path of an example."""
    return os.path.join(self.title, self.files[index])


def opener(directory: str) -> Callable[[str], FileSplit]:
  """Returns the function that opens a split by name."""
  return functools.partial(list_split, directory)


def list_split(directory: str, split: str) -> FileSplit:
  """Lists directory/split/CLASS/*.jpg (.jpeg, .png)."""
  folder = os.path.join(os.path.abspath(directory), split)
  if not os.path.isdir(folder):
    raise ValueError(
      f"directory={directory!r} holds no folder {split!r}; a folder data set "
      f"is directory/SPLIT/CLASS/NAME.jpg, and {_there_is(directory)}."
    )
  class_names = tuple(
    sorted(entry.name for entry in os.scandir(folder) if _is_class(entry))
  )
  if not class_names:
    raise ValueError(
      f"{folder} holds no class folder; a folder data set is "
      f"directory/SPLIT/CLASS/NAME.jpg."
    )
  files, labels = [], []
  for label, class_name in enumerate(class_names):
    names = _images(os.path.join(folder, class_name))
    files.extend(f"{class_name}/{name}" for name in names)
    labels.append(np.full(len(names), label, np.int32))
  return FileSplit(folder, tuple(files), np.concatenate(labels), class_names)


def _is_class(entry: os.DirEntry) -> bool:
  return entry.is_dir() and not entry.name.startswith(".")


def _images(folder: str) -> list[str]:
  names = sorted(
    entry.name
    for entry in os.scandir(folder)
    if entry.name.lower().endswith(EXTENSIONS)
    and not entry.name.startswith(".")
  )
  if not names:
    raise ValueError(
      f"class folder {folder} holds no image ({', '.join(EXTENSIONS)}); "
      f"fill it, or remove it in every split."
    )
  return names


def _there_is(directory: str) -> str:
  if not os.path.isdir(directory):
    return f"{os.path.abspath(directory)} does not exist"
  found = sorted(e.name for e in os.scandir(directory) if e.is_dir())
  return f"it holds {', '.join(found[:8]) or 'no folder'}"
