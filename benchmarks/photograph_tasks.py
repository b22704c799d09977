"""Tasks made of a folder's photographs, one of which needs a long range."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from van_jax import errors

_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
_GREY = 128
_SHIFT = 2  # Pixels that a view is moved by, at most, down and across.
_LIGHT = 0.8, 1.25  # Factors of a view's brightness.


Examples = tuple[np.ndarray, np.ndarray]  # uint8 [N, H, H, 3], labels [N].


class Photographs(NamedTuple):
  """What is read of a split.

  Attributes:
    images: uint8 [N, S, S, 3].
    labels: [N], numbers of the class folders.
    names: of these folders, sorted.
  """

  images: np.ndarray
  labels: np.ndarray
  names: tuple[str, ...] = ()


class Task(NamedTuple):
  """A way of making examples.

  Attributes:
    photograph: pixels a side that photographs are read at.
    make: from photographs, a count and a seed to uint8 [count, H, H, 3] and
      labels [count].
  """

  photograph: int
  make: Callable[[Photographs, int, int], Examples]


def pairs(photographs: Photographs, count: int, seed: int) -> Examples:
  """Returns grey images with a view in two opposite corners.

  The label is 1 where both views are of one photograph, 0 where they are of
  two. A view is moved and lit by chance, so that no two are the same. With
  photographs of S pixels an image has 4 S a side, and 3 S lie between what is
  to be compared: of 16, 12 positions of VAN's first stage, 6 of its second, 3
  of its third.
  """
  draw = np.random.default_rng(seed)
  labels = draw.integers(0, 2, count)
  first = draw.integers(0, len(photographs.images), count)
  # Never the same by chance: a step of 1 to N - 1 further.
  step = draw.integers(1, len(photographs.images), count)
  second = (first + np.where(labels, 0, step)) % len(photographs.images)
  side = photographs.images.shape[1]
  images = np.full((count, 4 * side, 4 * side, 3), _GREY, np.uint8)
  images[:, :side, :side] = _views(photographs.images[first], draw)
  images[:, -side:, -side:] = _views(photographs.images[second], draw)
  return images, labels


def classes(photographs: Photographs, count: int, seed: int) -> Examples:
  """Returns photographs, each once, and their classes; fewer if there are."""
  chosen = np.random.default_rng(seed).permutation(len(photographs.images))
  chosen = chosen[:count]
  return photographs.images[chosen], photographs.labels[chosen]


TASKS = {"pairs": Task(16, pairs), "classes": Task(32, classes)}


def read_splits(
  folder: pathlib.Path, side: int
) -> tuple[Photographs, Photographs]:
  """Returns FOLDER/train and FOLDER/test, as `read` does.

  Raises:
    UserError: as `read`, or if their classes are not the same: a label would
      be one class in training and another in the evaluation.
  """
  train, test = (read(folder / split, side) for split in ("train", "test"))
  if train.names != test.names:
    alone = sorted({*train.names} ^ {*test.names})
    raise errors.UserError(
      f"--data: {folder} has {', '.join(alone[:4])} in one of train and test "
      "alone; give both the same class folders."
    )
  return train, test


def read(folder: pathlib.Path, side: int) -> Photographs:
  """Returns the photographs of FOLDER/CLASS, their middles scaled to a square.

  Args:
    folder: of class folders.
    side: pixels a side.

  Raises:
    UserError: if there are none, or a single one, or one that is damaged.
  """
  names = sorted(p.name for p in folder.glob("*") if p.is_dir())
  files = [
    (file, label)
    for label, name in enumerate(names)
    for file in sorted((folder / name).rglob("*"))
    if file.suffix.lower() in _ENDINGS
  ]
  if len(files) < 2:
    raise errors.UserError(
      f"--data: {folder} holds {len(files)} images ({', '.join(_ENDINGS)}) in "
      "class folders; name the folder around train/CLASS and test/CLASS."
    )
  images = np.empty((len(files), side, side, 3), np.uint8)
  for i, (file, _) in enumerate(files):
    try:
      with Image.open(file) as image:
        scaled = ImageOps.fit(image.convert("RGB"), (side, side))
    except (OSError, SyntaxError) as error:  # The latter of broken PNGs.
      raise errors.UserError(
        f"--data: {file} cannot be read ({error}); remove or replace it."
      ) from error
    images[i] = np.asarray(scaled)
  labels = np.array([label for _, label in files])
  return Photographs(images, labels, tuple(names))


def _views(images: np.ndarray, draw: np.random.Generator) -> np.ndarray:
  """Returns each of [N, S, S, 3] moved and lit by chance."""
  count, side = images.shape[:2]
  room = (_SHIFT, _SHIFT)
  padded = np.pad(images, ((0, 0), room, room, (0, 0)), mode="reflect")
  down, across = draw.integers(0, 2 * _SHIFT + 1, (2, count, 1))
  rows, columns = down + np.arange(side), across + np.arange(side)
  moved = padded[
    np.arange(count)[:, None, None], rows[:, :, None], columns[:, None]
  ]
  light = draw.uniform(*_LIGHT, (count, 1, 1, 1))
  return np.clip(np.rint(moved * light), 0, 255).astype(np.uint8)
