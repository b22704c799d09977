"""The confusion matrix of pixels and its scores, against plain NumPy."""

import functools
import json

import jax
import numpy as np
import pytest

from van_jax.tasks import confusion


def pixels(void=0.2):
  """Returns answers and labels [2, 30, 40] of five classes, some void."""
  numbers = np.random.default_rng(5)
  answers = numbers.integers(0, 4, (2, 30, 40))  # Nothing is answered 4,
  labels = numbers.integers(1, 5, (2, 30, 40))  # and nothing is 0.
  labels = np.where(numbers.random(labels.shape) < 0.5, answers, labels)
  labels = np.where(labels == 0, 1, labels)
  labels = np.where(numbers.random(labels.shape) < void, 255, labels)
  return answers.astype(np.int32), labels.astype(np.int32)


def totals(answers, labels, num_classes=5):
  sums = jax.jit(confusion.batch_sums, static_argnums=2)(
    answers, labels, num_classes
  )
  sums = {name: np.asarray(value, np.int64) for name, value in sums.items()}
  return {**sums, "loss": np.float64(0.0), "count": np.int64(2)}


def test_a_cell_counts_the_pixels_of_a_class_that_got_an_answer():
  answers, labels = pixels()
  matrix = totals(answers, labels)["confusion"]
  for true in range(5):
    for answer in range(5):
      expected = np.sum((labels == true) & (answers == answer))
      assert matrix[true, answer] == expected


def test_products_count_what_adding_counts(monkeypatch):
  monkeypatch.setattr(confusion, "_CHUNK", 500)  # Which does not divide 1200.
  answers, labels = (x.reshape(2, -1) for x in pixels())
  answers[:, ::7] = 5  # No answer.
  by_adding, by_products = (
    jax.jit(functools.partial(function, num_classes=5))(labels, answers)
    for function in (confusion.count_by_adding, confusion.count_by_products)
  )
  np.testing.assert_array_equal(by_adding, by_products)


def test_scores_are_those_of_a_plain_computation():
  answers, labels = pixels()
  scores = confusion.scores(totals(answers, labels, 6))
  counted = labels != 255
  iou, accuracy = [], []
  for k in range(6):
    right = np.sum(counted & (answers == k) & (labels == k))
    either = np.sum(counted & ((answers == k) | (labels == k)))
    true = np.sum(labels == k)
    iou.append(right / either if either else None)
    accuracy.append(right / true if true else None)
  assert scores["per_class_IoU"] == iou
  assert scores["per_class_accuracy"] == accuracy
  # Class 0 is answered only, class 5 neither: the one's IoU is 0 and counts.
  assert (iou[0], accuracy[0], iou[5]) == (0, None, None)
  assert scores["mIoU"] == pytest.approx(np.mean(iou[:5]), rel=1e-12)
  assert scores["mAcc"] == pytest.approx(np.mean(accuracy[1:5]), rel=1e-12)
  assert scores["aAcc"] == np.mean((answers == labels)[counted])
  assert scores["pixels"] == counted.sum()
  assert scores["classes"] == "4 of 6"
  json.dumps(scores)


def test_a_pixel_without_an_answer_is_wrong_and_is_counted():
  answers, labels = pixels()
  before = confusion.scores(totals(answers, labels))
  answers[labels == 2] = 5
  after = confusion.scores(totals(answers, labels))
  assert after["pixels"] == before["pixels"]
  assert after["per_class_IoU"][2] == after["per_class_accuracy"][2] == 0
  assert after["mIoU"] < before["mIoU"]


def test_a_label_that_is_no_class_is_refused():
  answers, labels = pixels()
  labels[0, 0, :3] = 5
  with pytest.raises(ValueError, match=r"has 3 pixels.*below num_classes=5"):
    confusion.scores(totals(answers, labels))


def test_nothing_but_void_is_refused():
  answers, labels = pixels(void=1.1)
  with pytest.raises(ValueError, match=r"pixels=0 .*all its pixels are 255"):
    confusion.scores(totals(answers, labels))
