"""The names of the classes that masks number."""

from __future__ import annotations

import os
from collections.abc import Sequence

from van_jax import errors
from van_jax.data import arguments
from van_jax.data.sources import listing, text

_CLASSES = "classes.txt"
_ADE20K = "objectInfo150.txt"  # Of ADEChallengeData2016: a table, names last.


def choose(
  *,
  class_names: Sequence[str],
  num_classes: int | None,
  directory: str | None = None,
) -> tuple[str, ...]:
  """Returns the names of classes 0 to K - 1.

  Args:
    class_names: [K]; () for none.
    num_classes: K, whose names are then the numbers; None where there are
      names.
    directory: where `classes.txt` (one a line), or the list of ADE20K, is
      looked for if neither says anything.

  Raises:
    UserError: nothing says which classes there are, two differ, or a line of
      `classes.txt` is blank.
  """
  if num_classes is not None:
    arguments.check_whole("data.options.num_classes", num_classes, 1)
  if isinstance(class_names, str):
    raise errors.UserError(
      f"data.options.class_names={class_names!r} must be a sequence of names; "
      "('sky', 'road'), say."
    )
  names, place = tuple(class_names), "data.options.class_names"
  if not names and num_classes is None and directory:
    names, place = _listed(directory)
  if not names and num_classes is None:
    if directory and not listing.is_folder(directory):
      raise errors.UserError(
        f"data.directory={directory} is no folder; name the one that holds the "
        "images and their masks."
      )
    where = f", or list them in {directory}/{_CLASSES}" if directory else ""
    raise errors.UserError(
      "data.options.num_classes=None: nothing says which classes the masks "
      f"number; say it, or data.options.class_names{where}, one a line."
    )
  if names and num_classes not in (None, len(names)):
    raise errors.UserError(
      f"data.options.num_classes={num_classes} must be the {len(names)} of "
      "data.options.class_names; leave it out."
    )
  if len(set(names)) != len(names):
    twice = next(name for name in names if names.count(name) > 1)
    raise errors.UserError(
      f"{place} has {twice!r} twice; each class must have a name of its own."
    )
  return names or tuple(map(str, range(num_classes or 0)))


def _listed(directory: str) -> tuple[tuple[str, ...], str]:
  """Returns the names that a folder lists, and where; () for none."""
  path = os.path.join(directory, _CLASSES)
  if text.is_file(path):
    return text.numbered_names(path), path
  path = os.path.join(directory, _ADE20K)
  if text.is_file(path):
    rows = [line.split("\t")[-1].strip() for line in text.lines(path)]
    return tuple(rows[1:]), path  # The first names the columns.
  return (), ""
