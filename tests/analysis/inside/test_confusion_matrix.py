"""The confusion matrix of labels and answers, and each class's accuracy."""

import numpy as np
import pytest

from van_jax import errors
from van_jax.analysis import class_accuracy, confusion_matrix


def test_rows_are_true_classes():
  generator = np.random.default_rng(0)
  labels, predicted = generator.integers(0, 5, (2, 200))
  ours = confusion_matrix(labels, predicted, num_classes=6)
  assert ours.dtype == np.int64
  expected = np.zeros((6, 6))
  for label, answer in zip(labels, predicted, strict=True):
    expected[label, answer] += 1
  np.testing.assert_array_equal(ours, expected)


def test_images_without_class_or_answer_are_in_no_cell():
  ours = confusion_matrix([0, -1, 1, 1], [1, 1, -1, 1], num_classes=2)
  np.testing.assert_array_equal(ours, [[0, 1], [0, 1]])


def test_accuracy_is_the_right_part_of_each_true_class():
  matrix = confusion_matrix([0, 0, 0, 2], [0, 1, 0, 2], num_classes=3)
  np.testing.assert_allclose(class_accuracy(matrix), [2 / 3, np.nan, 1])


@pytest.mark.parametrize(
  ("labels", "predicted", "message"),
  [
    ([0, 1], [0], "one class an image"),
    ([0, 3], [0, 1], "from 0 to 3, and must be from 0 to 1"),
    ([0, -2], [0, 1], "from -2 to 1"),
    ([0.0, 1.0], [0, 1], "float64, and must be whole"),
  ],
)
def test_answers_that_do_not_fit_are_refused(labels, predicted, message):
  with pytest.raises(errors.UserError, match=message):
    confusion_matrix(labels, predicted, num_classes=2)


@pytest.mark.parametrize("matrix", [np.ones((2, 3)), np.ones(4)])
def test_what_is_no_matrix_of_classes_has_no_accuracy(matrix):
  with pytest.raises(errors.UserError, match=r"must be \[K, K\]"):
    class_accuracy(matrix)
