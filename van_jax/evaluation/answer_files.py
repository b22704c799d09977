"""Answers as files: a table of predictions, and a confusion matrix."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from van_jax import errors, storage
from van_jax.evaluation.answers import NO_ANSWER, Answers

PREDICTIONS_KINDS = (".csv",)
MATRIX_KINDS = (".csv", ".npy")


class Predictions(NamedTuple):
  """A table of predictions, as it was read.

  Attributes:
    images: N names.
    answers: to all images; a label is -1 where the image has none.
    names: of the classes, which the numbers are of.
  """

  images: tuple[str, ...]
  answers: Answers
  names: tuple[str, ...]


def write_predictions(
  path: str,
  answers: Answers,
  names: Sequence[str],
  describe: Callable[[int], str],
) -> None:
  """Writes a line an image, in the order of the data.

  Its columns: image, label (empty where it has none), then class and
  probability of each answer, top1, probability1, top2 and so on.

  Args:
    path: a CSV file.
    answers: of all images.
    names: of the classes.
    describe: names an image by its number.
  """
  ranks = range(1, answers.classes.shape[1] + 1)
  head = [f"{column}{n}" for n in ranks for column in ("top", "probability")]

  def rows():
    yield ["image", "label", *head]
    for i, label in enumerate(answers.labels.tolist()):
      row = [describe(i), _name(label, names)]
      pairs = zip(answers.classes[i], answers.probabilities[i], strict=True)
      for number, probability in pairs:
        row += [_name(int(number), names), f"{probability:.6g}"]
      yield row

  _write_csv(path, rows())


def read_predictions(
  path: str, names: Sequence[str] | None = None
) -> Predictions:
  """Returns what `write_predictions` wrote.

  Args:
    path: the CSV file.
    names: of the classes, in order, such as a bundle's labels; None for those
      that are in the table, in alphabetical order. Of classes of one name all
      are the first.

  Raises:
    UserError: if there is no such table, or a class in it has no such name.
  """
  top, rows = _read_rows(path)
  said = [[row[1], *row[2::2]] for row in rows]
  if names is None:
    names = sorted({name for row in said for name in row if name})
  numbers = {name: i for i, name in reversed([*enumerate(names)])}
  numbers[""] = NO_ANSWER
  if unknown := {name for row in said for name in row} - numbers.keys():
    raise errors.UserError(
      f"predictions={path} names the class {min(unknown)!r}, which is none of "
      f"the {len(names)} given; give those of the weights that answered."
    )
  numbered = [[numbers[name] for name in row] for row in said]
  classes = np.array(numbered, np.int32).reshape(len(rows), 1 + top)
  chances = [[float(value) for value in row[3::2]] for row in rows]
  probabilities = np.array(chances, np.float32).reshape(len(rows), top)
  answers = Answers(classes[:, 0], classes[:, 1:], probabilities)
  return Predictions(tuple(row[0] for row in rows), answers, tuple(names))


def _read_rows(path: str) -> tuple[int, list[list[str]]]:
  """Returns how many answers an image has, and the rows below the first."""
  try:
    content = storage.absolute(path).read_bytes()
  except OSError as error:
    raise errors.UserError(
      f"predictions={path} cannot be read: {error.strerror or error}."
    ) from error
  text = io.StringIO(content.decode("utf-8", "surrogateescape"), newline="")
  head, *rows = [row for row in csv.reader(text) if row] or [[]]
  if head[:3] != ["image", "label", "top1"] or any(
    len(row) != len(head) for row in rows
  ):
    raise errors.UserError(
      f"predictions={path} is no table of predictions: it must begin with "
      "image,label,top1, and all its lines be as long; eval.py --predictions "
      "writes such."
    )
  return len(head) // 2 - 1, rows


def write_matrix(path: str, matrix: np.ndarray, names: Sequence[str]) -> None:
  """Writes a confusion matrix: true classes down, predicted ones across.

  Args:
    path: NAME.npy for the bare [K, K] int64; NAME.csv for a table whose first
      line and column are the classes' names.
    matrix: [K, K] int64.
    names: of the classes.
  """
  if path.lower().endswith(".npy"):
    content = io.BytesIO()
    np.save(content, matrix)
    _write(path, content.getvalue())
    return

  def rows():
    yield ["true", *names]
    for name, counts in zip(names, matrix.tolist(), strict=True):
      yield [name, *counts]

  _write_csv(path, rows())


def _write_csv(path: str, rows: Iterable[Sequence[Any]]) -> None:
  text = io.StringIO()
  csv.writer(text, lineterminator="\n").writerows(rows)
  # A file's name that is no UTF-8 is written as the bytes that it is.
  _write(path, text.getvalue().encode("utf-8", "surrogateescape"))


def _write(path: str, content: bytes) -> None:
  with storage.replacing(path) as draft:
    draft.write_bytes(content)


def _name(number: int, names: Sequence[str]) -> str:
  if number == NO_ANSWER:
    return ""
  return names[number] if 0 <= number < len(names) else str(number)
