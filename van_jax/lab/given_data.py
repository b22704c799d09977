"""What one hands to `fit` as data: arrays, a folder or a name, as a source."""

import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from van_jax import data, errors, storage
from van_jax.data.images import reading
from van_jax.data.sources import listing, pixel_split, renumbered
from van_jax.data.sources.open import SOURCES
from van_jax.data.sources.split import fetch_parts

_KINDS = (
  "a pair of arrays (images, labels), a folder of class folders, the name of a "
  "source such as 'digits' or 'cifar10', or a van_jax.data.Source"
)
# What folders of class folders are called: a folder of these has no classes.
_SPLITS = {"test", "train", "training", "val", "valid", "validation"}


def opened(
  given: Any,
  evaluation: Any,
  *,
  directory: str,
  class_names: Sequence[str] | None = None,
  num_classes: int | None = None,
) -> data.Source:
  """Returns the source; images are read later.

  Args:
    given: see `fitting.fit`, as all but `num_classes`.
    evaluation: see there.
    directory: see there.
    class_names: see there.
    num_classes: of the model, for arrays whose labels do not show all of them.

  Raises:
    UserError: where it is nothing that can be read.
  """
  if isinstance(evaluation, np.floating):
    evaluation = float(evaluation)
  if isinstance(given, data.Source):
    return _as_it_is(given, evaluation)
  if isinstance(given, tuple | list) and len(given) == 2:
    names = _checked_names(class_names)
    return _of_arrays(given, evaluation, names, num_classes)
  if class_names is not None:
    raise errors.UserError(
      "class_names are for arrays: folders and named sources have their own; "
      "leave them out."
    )
  if isinstance(given, os.PathLike) or _is_folder(given):
    return _of_folder(str(given), evaluation)
  if isinstance(given, str):
    try:
      return _of_name(given, evaluation, directory)
    except errors.UserError as error:
      raise errors.UserError(f"data={given!r}: {error}") from error
  raise errors.UserError(
    f"data is of type {type(given).__name__} and must be {_KINDS}."
  )


def side(source: data.Source) -> int:
  """Returns the larger side of the first training image, in pixels."""
  split = source.train
  assert split is not None, "what is opened here can be trained on"
  first = split.sequence(0, 1).map(lambda i, handle: fetch_parts(split, handle))
  encoded, _ = next(iter(first))
  return max(reading.pixels(encoded.numpy()).shape[:2])


def _checked_names(given: Any) -> tuple[str, ...] | None:
  if given is None:
    return None
  is_several = isinstance(given, Iterable) and not isinstance(given, str)
  names = tuple(given) if is_several else ()
  if not names or not all(isinstance(name, str) for name in names):
    raise errors.UserError(
      f"class_names={given!r} must be a sequence of texts, one a class, or "
      "None for the numbers."
    )
  return tuple(map(str, names))  # NumPy has its own.


def _as_it_is(source: data.Source, evaluation: Any) -> data.Source:
  if source.train is None:
    raise errors.UserError(
      f"data: source {source.name!r} was opened with train_split=None; name "
      "the split to train on."
    )
  if evaluation is not None:
    raise errors.UserError(
      "evaluation is for data that is not opened yet: open the source with "
      "eval_split=, and leave it out."
    )
  return source


def _of_arrays(
  given: Sequence[Any],
  evaluation: Any,
  class_names: tuple[str, ...] | None,
  num_classes: int | None,
) -> data.Source:
  train = pixel_split.checked(
    *given, title="data", class_names=class_names, num_classes=num_classes
  )
  if evaluation is None:
    held_out = None
  elif isinstance(evaluation, float):
    order = np.random.default_rng(0).permutation(train.size)
    count = round(train.size * _percent(evaluation) / 100)
    if not 0 < count < train.size:
      raise errors.UserError(
        f"evaluation={evaluation} of {train.size} images is {count} of them, "
        "and must leave some on either side; give more images, or another part."
      )
    held_out = _rows(train, np.sort(order[:count]))
    train = _rows(train, np.sort(order[count:]))
  elif isinstance(evaluation, tuple | list) and len(evaluation) == 2:
    held_out = pixel_split.checked(
      *evaluation, title="evaluation", class_names=train.class_names
    )
  else:
    raise errors.UserError(
      f"evaluation is of type {type(evaluation).__name__} and must be a pair "
      "of arrays, as data is, or the part of data to hold out, 0.1 say."
    )
  return data.Source("arrays", train.class_names, train, held_out)


def _rows(split: pixel_split.PixelSplit, rows: np.ndarray) -> Any:
  return dataclasses.replace(
    split, images=split.images[rows], labels=split.labels[rows]
  )


def _of_folder(path: str, evaluation: Any) -> data.Source:
  _check_folder(path, "data")
  inside = listing.folders(listing.absolute(path))
  if inside and _SPLITS.issuperset(inside):
    raise errors.UserError(
      f"data={path} has the folders {', '.join(inside)}, which are splits and "
      f"no classes; write data={os.path.join(path, inside[0])!r}, and another "
      "as evaluation."
    )
  around, name = _around(path)
  if evaluation is None or isinstance(evaluation, float):
    return _sliced("folder", around, name, evaluation)
  if not isinstance(evaluation, str | os.PathLike):
    raise errors.UserError(
      f"evaluation is of type {type(evaluation).__name__} and must be another "
      "folder of class folders, or the part of data to hold out, 0.1 say."
    )
  _check_folder(os.fspath(evaluation), "evaluation")
  source = _sliced("folder", around, name, None)
  around, name = _around(os.fspath(evaluation))
  other = data.open_source(
    name="folder", directory=around, train_split=None, eval_split=name
  )
  assert source.train is not None
  assert other.evaluation is not None
  held_out = renumbered.in_terms_of(
    source.class_names, other.evaluation, source.train.title
  )
  return dataclasses.replace(source, evaluation=held_out)


def _check_folder(path: str, name: str) -> None:
  if not listing.is_folder(listing.absolute(path)):
    raise errors.UserError(
      f"{name}={path} is no folder; name one that holds a folder a class."
    )


def _of_name(name: str, evaluation: Any, directory: str) -> data.Source:
  if evaluation is not None and not isinstance(evaluation, str | float):
    raise errors.UserError(
      f"evaluation is of type {type(evaluation).__name__} and must be a split "
      f"of {name!r}, 'test' say, or the part of it to hold out, 0.1 say."
    )
  if isinstance(evaluation, str):
    return data.open_source(
      name=name, directory=directory, eval_split=evaluation
    )
  return _sliced(name, directory, "train", evaluation)


def _sliced(
  name: str, directory: str, split: str, fraction: float | None
) -> data.Source:
  """Opens a split, or two parts of it."""
  kept, held_out = split, None
  if fraction is not None:
    percent = _percent(fraction)
    kept, held_out = f"{split}[{percent}%:]", f"{split}[:{percent}%]"
  return data.open_source(
    name=name, directory=directory, train_split=kept, eval_split=held_out
  )


def _percent(fraction: float) -> int:
  percent = round(100 * fraction) if 0 < fraction < 1 else 0
  if not 1 <= percent <= 99:
    raise errors.UserError(
      f"evaluation={fraction} must be a part of data from 0.01 to 0.99, or "
      "data of its own."
    )
  return percent


def _is_folder(given: Any) -> bool:
  """Returns whether a text is a path, and not the name of a source."""
  if not isinstance(given, str | os.PathLike) or given in SOURCES:
    return False
  path = os.fspath(given)
  written_so = storage.is_remote(path) or path.startswith((".", "/", "~"))
  return written_so or os.path.isdir(path)


def _around(path: str) -> tuple[str, str]:
  """Returns the folder that holds a folder, and the latter's name."""
  around, _, name = listing.absolute(path).rstrip("/").rpartition("/")
  return around or "/", name
