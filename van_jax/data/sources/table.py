"""Tables of files and their labels: SPLIT.csv or SPLIT.tsv.

  file,label
  a/1.jpg,cat
  b/2.png,dog

The first line may be left out; then the first two columns are meant. Files are
below the folder SPLIT, or below the one that holds the table. Labels are class
names; or numbers from 0, of the classes that `classes.txt` beside the table
names, one a line.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from van_jax import errors
from van_jax.data import formats
from van_jax.data.sources import text as text_lib

# Ending: what may stand between cells, the first of them that the first line
# has. Spreadsheets write a semicolon where commas are decimal points.
_DELIMITERS = {".csv": ",;\t", ".tsv": "\t"}
_CLASSES = "classes.txt"
# What the two columns may be called, lower case.
_FILE = ("file", "file_name", "filename", "image", "image_path", "path")
_LABEL = ("class", "class_name", "label", "target")


class Table(NamedTuple):
  """What a table says.

  Attributes:
    root: the folder that the files are below.
    files: [N], sorted.
    labels: [N] int32.
    class_names: [K].
  """

  root: str
  files: list[str]
  labels: np.ndarray
  class_names: tuple[str, ...]


class _Row(NamedTuple):
  line: int
  file: str
  label: str


def find(directory: str, name: str) -> str | None:
  """Returns the path of a split's table, in a directory or its folder."""
  if name.endswith(tuple(_DELIMITERS)):
    candidates = [name]
  else:
    candidates = [name + ending for ending in _DELIMITERS]
    candidates += [os.path.join(name, own) for own in candidates]
  for candidate in candidates:
    path = os.path.join(directory, candidate)
    if text_lib.is_file(path):
      return path
  return None


def read(path: str, directory: str) -> Table:
  """Reads a table.

  Args:
    path: of the table.
    directory: the data set's.

  Raises:
    UserError: naming the first line that is wrong.
  """
  rows = sorted(_rows(path), key=lambda row: row.file)
  if not rows:
    raise errors.UserError(f"{path} has no row; {_form(path)}.")
  for one, other in itertools.pairwise(rows):
    if one.file == other.file:
      raise _error(path, other.line, f"line {one.line} has {one.file!r} too")
  class_names, number = _classes(path, rows, directory)
  labels = np.fromiter((number[row.label] for row in rows), np.int32, len(rows))
  root = _root(path, directory, min(rows))
  return Table(root, [row.file for row in rows], labels, class_names)


def _rows(path: str) -> Iterator[_Row]:
  text = text_lib.read(path)
  reader = csv.reader(
    io.StringIO(text, newline=""), delimiter=_delimiter(path, text), strict=True
  )
  columns = None
  try:
    for cells in reader:
      cells = [cell.strip() for cell in cells]
      if not any(cells):
        continue
      if columns is None:
        columns = _named_columns(cells)
        if columns is not None:
          continue
        columns = (0, 1)
      yield _row(path, reader.line_num, cells, columns)
  except csv.Error as error:
    raise _error(path, reader.line_num, str(error)) from error


def _delimiter(path: str, text: str) -> str:
  usual, *others = _DELIMITERS[os.path.splitext(path)[1]]
  first = text.lstrip().partition("\n")[0]
  return next((d for d in (usual, *others) if d in first), usual)


def _named_columns(cells: list[str]) -> tuple[int, int] | None:
  """Returns which columns have file and label; None if no column is named."""
  small = [cell.lower() for cell in cells]
  file = [i for i, cell in enumerate(small) if cell in _FILE]
  label = [i for i, cell in enumerate(small) if cell in _LABEL]
  return (file[0], label[0]) if file and label else None


def _row(
  path: str, line: int, cells: list[str], columns: tuple[int, int]
) -> _Row:
  if len(cells) <= max(columns):
    raise _error(path, line, f"{len(cells)} columns are too few")
  file, label = (cells[column] for column in columns)
  if not file or not label:
    raise _error(path, line, "a file or a label is empty")
  if not file.lower().endswith(formats.EXTENSIONS):
    raise _error(path, line, f"{file!r} is no image by its name")
  if os.path.isabs(file) or "://" in file or ".." in file.split("/"):
    raise _error(path, line, f"{file!r} is not below the table's folder")
  return _Row(line, os.path.normpath(file), label)


def _classes(
  path: str, rows: Sequence[_Row], directory: str
) -> tuple[tuple[str, ...], Mapping[str, int]]:
  """Returns all class names, and the number of each label."""
  found = {row.label for row in rows}
  listed = os.path.join(directory, _CLASSES)
  if not text_lib.is_file(listed):
    # 10 after 9, so that labels from 0 are their own numbers.
    numbers = all(label.isdecimal() for label in found)
    ordered = sorted(found, key=lambda x: (int(x), x) if numbers else (0, x))
    return tuple(ordered), {name: i for i, name in enumerate(ordered)}
  ordered = text_lib.numbered_names(listed)
  number = {str(i): i for i in range(len(ordered))}
  number |= {name: i for i, name in enumerate(ordered)}
  for row in rows:
    if row.label not in number:
      reason = f"{row.label!r} is none of the {len(ordered)} of {listed}"
      raise _error(path, row.line, reason)
  return ordered, number


def _root(path: str, directory: str, first: _Row) -> str:
  """Returns the folder that holds the file of a row."""
  name = os.path.splitext(os.path.basename(path))[0]
  roots = [os.path.join(directory, name), directory]
  for root in roots:
    if text_lib.is_file(os.path.join(root, first.file)):
      return root
  raise _error(
    path, first.line, f"{first.file!r} is not in {' or '.join(roots)}"
  )


def _error(path: str, line: int, reason: str) -> errors.UserError:
  return errors.UserError(f"line {line} of {path}: {reason}; {_form(path)}.")


def _form(path: str) -> str:
  delimiter = "a comma" if path.endswith(".csv") else "a tab"
  return (
    f"each line has an image file below the folder, {delimiter}, and its label "
    "(the first may name the columns: file, label)"
  )
