"""Which class was taken for which, and how often each was right."""

from typing import Any

import numpy as np

from van_jax import errors
from van_jax.evaluation import answers


def confusion_matrix(
  labels: Any, predicted: Any, *, num_classes: int
) -> np.ndarray:
  """Returns how often class t was taken for class p, [K, K] int64, at [t, p].

  Rows are true classes. As in `eval.py --confusion_matrix`, images without a
  class (label -1) and without an answer (predicted -1) are in no cell.

  Args:
    labels: [N], whole numbers.
    predicted: [N], likewise; `evaluation.answer_files.read_predictions` has
      both of an evaluation.
    num_classes: K.

  Raises:
    UserError: when the two are not as long, or some are no classes.
  """
  labels, predicted = np.asarray(labels), np.asarray(predicted)
  if labels.ndim != 1 or labels.shape != predicted.shape:
    raise errors.UserError(
      f"labels {labels.shape} and predicted {predicted.shape} must be one "
      "class an image each, [N]."
    )
  both = np.stack([labels, predicted])
  if both.size and both.dtype.kind not in "iu":
    raise errors.UserError(
      f"labels and predicted are {both.dtype}, and must be whole numbers."
    )
  if both.max(initial=-1) >= num_classes or both.min(initial=0) < -1:
    raise errors.UserError(
      f"labels and predicted are from {both.min()} to {both.max()}, and must "
      f"be from 0 to {num_classes - 1}, the last of num_classes={num_classes}, "
      "or -1 for none."
    )
  labels, predicted = both.astype(np.int64)
  given = answers.Answers(labels, predicted[:, None], np.ones((len(labels), 1)))
  return answers.confusion(given, num_classes)


def class_accuracy(matrix: np.ndarray) -> np.ndarray:
  """Returns the part of each true class that was right, [K]; NaN without any.

  Args:
    matrix: of `confusion_matrix`.

  Raises:
    UserError: if it is not [K, K].
  """
  matrix = np.asarray(matrix)
  if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
    raise errors.UserError(
      f"matrix of shape {matrix.shape} must be [K, K], as confusion_matrix "
      "gives it."
    )
  count = matrix.sum(axis=1)
  right = np.diag(matrix) / np.maximum(count, 1)
  return np.where(count > 0, right, np.nan)
