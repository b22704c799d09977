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
    UserError: when the two are not as long, or an answer is no class.
  """
  labels, predicted = np.asarray(labels), np.asarray(predicted)
  if labels.ndim != 1 or labels.shape != predicted.shape:
    raise errors.UserError(
      f"labels {labels.shape} and predicted {predicted.shape} must be one "
      "class an image each, [N]."
    )
  largest = max(labels.max(initial=-1), predicted.max(initial=-1))
  if largest >= num_classes:
    raise errors.UserError(
      f"num_classes={num_classes} must be above {largest}, the largest class "
      "of labels and predicted."
    )
  given = answers.Answers(labels, predicted[:, None], np.ones((len(labels), 1)))
  return answers.confusion(given, num_classes)


def class_accuracy(matrix: np.ndarray) -> np.ndarray:
  """Returns the part of each true class that was right, [K]; NaN without any.

  Args:
    matrix: of `confusion_matrix`.
  """
  count = matrix.sum(axis=1)
  right = np.diag(matrix) / np.maximum(count, 1)
  return np.where(count > 0, right, np.nan)
