"""An evaluation's answers of a class an image: predictions and a matrix."""

from collections.abc import Sequence
from typing import Any

import jax

from van_jax import data, errors, tasks
from van_jax.data.sources.renumbered import RenumberedSplit
from van_jax.data.sources.split import Split
from van_jax.evaluation import answer_files, answers as answers_lib
from van_jax.experiment.beside_sums import BesideSums
from van_jax.experiment.score_files import ScoreFiles

_TOP = 5  # Answers an image.


def taken(
  files: ScoreFiles,
  task: tasks.Task,
  batches: data.EvalBatches,
  source: data.Source,
  labels: Sequence[str] | None,
) -> BesideSums:
  """Returns how answers are collected, and written by the first process.

  Args:
    files: that are asked for.
    task: of the weights.
    batches: of this process.
    source: the data, in the model's classes.
    labels: the model's class names; None for the data's.

  Raises:
    UserError: if the task's outputs are no classes.
  """
  collector = answers_lib.Collector()
  names = tuple(labels or source.class_names)

  def finish(totals):
    del totals
    if jax.process_index() == 0:
      _write(files, collector.result(), names, source)

  return BesideSums(
    sums=answers_lib.beside(task.sums, _top(task.classes)),
    batches=answers_lib.numbered(batches, batches.start),
    watch=collector.watch,
    finish=finish,
  )


def _top(num_classes: int | None) -> int:
  """Returns how many answers an image gets."""
  if num_classes is None:
    raise errors.UserError(
      "predictions and confusion_matrix are of classes, and the outputs of "
      "this task are none; leave them out."
    )
  return min(_TOP, num_classes)


def _write(
  files: ScoreFiles,
  answers: answers_lib.Answers,
  names: tuple[str, ...],
  source: data.Source,
) -> None:
  if files.predictions:
    assert source.evaluation is not None
    describe = _describer(source.evaluation)
    answer_files.write_predictions(files.predictions, answers, names, describe)
  if files.confusion_matrix:
    matrix = answers_lib.confusion(answers, len(names))
    answer_files.write_matrix(files.confusion_matrix, matrix, names)


def _describer(split: Split) -> Any:
  """Returns the function that names an image: by its file, or its number."""
  if isinstance(split, RenumberedSplit):
    split = split.split
  named = type(split).describe is not Split.describe
  return split.describe if named else str
