"""An evaluation's answers of a class a pixel: masks, and a matrix of pixels."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from van_jax import data, errors, tasks
from van_jax.evaluation import (
  answer_files,
  mask_answers as mask_answers_lib,
  mask_files,
)
from van_jax.experiment import beside_sums
from van_jax.experiment.beside_sums import BesideSums
from van_jax.experiment.score_files import ScoreFiles

_MATRIX = "confusion"  # Of the sums.


def taken(
  files: ScoreFiles,
  task: tasks.Task,
  batches: data.DenseEvalBatches,
  source: data.Source,
  labels: Sequence[str] | None,
) -> BesideSums:
  """Returns how masks are written as they come, and the matrix in the end.

  Args:
    files: that are asked for.
    task: of the weights; its sums have the matrix.
    batches: of this process.
    source: the data.
    labels: the model's class names; None for the data's.
  """
  names = tuple(labels or source.class_names)

  def write_matrix(totals):
    if files.confusion_matrix and jax.process_index() == 0:
      matrix = _matrix(totals, len(names))
      answer_files.write_matrix(files.confusion_matrix, matrix, names)

  if not files.predictions:
    plain = beside_sums.nothing(task.sums, batches)
    return plain._replace(finish=write_matrix)
  collector = mask_answers_lib.Collector(_writer(files.predictions, source))

  def finish(totals):
    collector.finish()
    write_matrix(totals)

  return BesideSums(
    sums=mask_answers_lib.beside(task.sums),
    batches=mask_answers_lib.numbered(batches, batches.indices),
    watch=collector.watch,
    finish=finish,
  )


def _writer(
  folder: str, source: data.Source
) -> Callable[[int, np.ndarray], None]:
  """Returns the function that writes a mask as the data's own are written."""
  split = source.evaluation
  assert split is not None
  assert split.mask_numbering is not None
  written = split.mask_numbering.written()
  table = np.full(256, written[-1], np.uint8)
  table[: len(written) - 1] = written[:-1]

  def write(index, mask):
    mask_files.write_mask(folder, split.stem(index), table[mask])

  return write


def _matrix(totals: Any, num_classes: int) -> np.ndarray:
  matrix = totals.get(_MATRIX)
  if np.shape(matrix) != (num_classes, num_classes):
    raise errors.UserError(
      f"confusion_matrix is the sum {_MATRIX!r}, [K, K], of a task of masks, "
      f"and this task's sums are {', '.join(totals)}; leave it out."
    )
  return matrix
