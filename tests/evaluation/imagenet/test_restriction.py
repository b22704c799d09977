"""Answers among some of the classes: by formula, and as the authors slice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from van_jax.evaluation import evaluator
from van_jax.evaluation.imagenet import restriction
from van_jax.tasks import accuracy

CLASSES = np.array([1, 4, 5, 7, 8, 11], np.int32)


def evaluate(logits, labels):
  def sums(logits, labels):
    logits, labels = restriction.restrict(logits, labels, CLASSES)
    mask = jnp.ones(labels.shape, jnp.bool)
    return accuracy.batch_sums(logits, labels, mask, len(CLASSES))

  got = jax.jit(sums)(jnp.asarray(logits), jnp.asarray(labels))
  return accuracy.scores(evaluator.accumulate(None, got))


@pytest.fixture
def batch():
  """Returns logits [300, 12], and labels [300] that are among the classes."""
  numbers = np.random.default_rng(5)
  labels = CLASSES[numbers.integers(0, len(CLASSES), 300)]
  logits = numbers.normal(size=(300, 12)).astype(np.float32)
  logits[np.arange(300), labels] += 0.5
  return logits, labels


def test_accuracies_equal_scikit_learn_on_the_sliced_logits(batch):
  logits, labels = batch
  sliced = logits[:, CLASSES]  # As ImageNet-A's authors do.
  result = evaluate(logits, labels)
  assert result["top1"] == sklearn.metrics.accuracy_score(
    labels, CLASSES[sliced.argmax(1)]
  )
  assert result["top5"] == sklearn.metrics.top_k_accuracy_score(
    labels, sliced, k=5, labels=CLASSES
  )


def test_the_loss_is_that_of_the_classes_alone(batch):
  logits, labels = batch
  odds = np.exp(logits[:, CLASSES].astype(np.float64))
  expected = sklearn.metrics.log_loss(
    labels, odds / odds.sum(1, keepdims=True), labels=CLASSES
  )
  # 300 float32 losses summed in float32.
  assert evaluate(logits, labels)["loss"] == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e9])
def test_other_classes_have_no_influence(batch, value):
  logits, labels = batch
  expected = evaluate(logits, labels)
  logits[:, [0, 2, 3, 6, 9, 10]] = value
  assert evaluate(logits, labels) == expected


@pytest.mark.parametrize("label", [0, 6, 10, 12, -2])
def test_a_label_of_another_class_is_met_by_no_answer(label):
  result = evaluate(np.zeros((2, 12), np.float32), np.array([1, label]))
  assert result["top1"] == 0.5
  assert result["top5"] == 0.5
  assert result["count"] == 2


def test_an_image_without_a_class_is_not_counted():
  result = evaluate(np.zeros((2, 12), np.float32), np.array([1, -1]))
  assert result["count"] == 1
  assert result["top1"] == 1


def test_classes_out_of_order_are_an_error():
  with pytest.raises(ValueError, match="must rise"):
    restriction.restrict(jnp.eye(3), jnp.arange(3), np.array([2, 1]))
