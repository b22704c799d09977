"""Claims about evaluation's sums, against scikit-learn and NumPy."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from van_jax.evaluation import evaluator
from van_jax.tasks import accuracy


def evaluate(logits, labels, mask=None):
  """Returns the metrics of one batch."""
  labels = jnp.asarray(labels)
  mask = jnp.ones(labels.shape, jnp.bool) if mask is None else mask
  logits = jnp.asarray(logits)
  sums = jax.jit(accuracy.batch_sums, static_argnums=3)(
    logits, labels, jnp.asarray(mask), logits.shape[1]
  )
  return accuracy.scores(evaluator.accumulate(None, sums))


@pytest.fixture
def batch():
  """Returns logits [500, 12] that are often right, and labels [500]."""
  generator = np.random.default_rng(0)
  labels = generator.integers(0, 11, size=500)  # Class 11 has no example.
  logits = generator.normal(size=(500, 12)).astype(np.float32)
  logits[np.arange(500), labels] += 1
  return logits, labels


def test_top1_equals_scikit_learn(batch):
  logits, labels = batch
  expected = sklearn.metrics.accuracy_score(labels, logits.argmax(1))
  assert evaluate(logits, labels)["top1"] == expected


def test_top5_equals_scikit_learn(batch):
  logits, labels = batch
  expected = sklearn.metrics.top_k_accuracy_score(
    labels, logits, k=5, labels=np.arange(12)
  )
  assert evaluate(logits, labels)["top5"] == expected


def test_per_class_accuracy_equals_scikit_learn(batch):
  logits, labels = batch
  confusion = sklearn.metrics.confusion_matrix(
    labels, logits.argmax(1), labels=np.arange(12), normalize="true"
  )
  expected = confusion.diagonal()[:11]
  result = evaluate(logits, labels)
  assert result["per_class_accuracy"] == [*expected, None]
  np.testing.assert_allclose(result["mean_per_class_accuracy"], expected.mean())


def test_loss_equals_scikit_learn(batch):
  logits, labels = batch
  probabilities = np.exp(logits.astype(np.float64))
  probabilities /= probabilities.sum(1, keepdims=True)
  expected = sklearn.metrics.log_loss(
    labels, probabilities, labels=np.arange(12)
  )
  # 500 float32 losses summed in float32.
  np.testing.assert_allclose(
    evaluate(logits, labels)["loss"], expected, rtol=2e-6
  )


def test_ten_examples_in_batches_of_four_count_ten(batch):
  logits, labels = (array[:10] for array in batch)
  totals = None
  for start in (0, 4, 8):
    part = np.full((4, 12), np.nan, np.float32)  # Padding may be anything.
    part_labels = np.full(4, -1)
    real = len(labels[start : start + 4])
    part[:real] = logits[start : start + 4]
    part_labels[:real] = labels[start : start + 4]
    sums = accuracy.batch_sums(
      jnp.asarray(part), jnp.asarray(part_labels), jnp.arange(4) < real, 12
    )
    totals = evaluator.accumulate(totals, sums)
  result, whole = accuracy.scores(totals or {}), evaluate(logits, labels)
  np.testing.assert_allclose(result.pop("loss"), whole.pop("loss"), rtol=1e-6)
  assert result == whole
  assert result["count"] == 10


def test_sums_over_eight_devices_equal_those_of_one(batch):
  logits, labels = (array[:496] for array in batch)
  mesh = jax.make_mesh(
    (8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,)
  )
  spread = jax.sharding.NamedSharding(mesh, jax.P("batch"))
  result = evaluate(*jax.device_put((logits, labels), spread))
  whole = evaluate(logits, labels)
  np.testing.assert_allclose(result.pop("loss"), whole.pop("loss"), rtol=2e-6)
  assert result == whole


def test_equal_logits_score_as_always_answering_the_first_classes():
  labels = np.arange(20).repeat(3)
  result = evaluate(np.zeros((60, 20), np.float32), labels)
  assert result["top1"] == 1 / 20
  assert result["top5"] == 5 / 20


def test_a_tie_for_the_first_place_goes_to_the_lower_class():
  logits = np.array([[0.0, 2.0, 2.0], [0.0, 2.0, 2.0]], np.float32)
  result = evaluate(logits, np.array([1, 2]))
  assert result["per_class_accuracy"] == [None, 1.0, 0.0]


@pytest.mark.parametrize("where", [0, 1, 2, slice(None)])
def test_a_row_with_nan_is_wrong_and_makes_the_loss_nan(where):
  logits = np.array([[3.0, 0.0, 0.0]] * 2, np.float32)
  logits[1, where] = np.nan
  result = evaluate(logits, np.array([0, 0]))
  assert result["top1"] == 0.5
  assert result["top5"] == 0.5
  assert np.isnan(result["loss"])


def test_infinite_logits_are_ranked():
  logits = np.array([[np.inf, 0.0, 1.0], [-np.inf, 0.0, 1.0]], np.float32)
  result = evaluate(logits, np.array([0, 2]))
  assert result["top1"] == 1


def test_a_label_of_minus_one_is_not_counted():
  logits = np.eye(3, dtype=np.float32)
  result = evaluate(logits, np.array([0, 1, -1]))
  assert result == evaluate(logits[:2], np.array([0, 1]))
  assert result["count"] == 2
  assert result["per_class_accuracy"] == [1.0, 1.0, None]
  assert np.isfinite(result["loss"])


def test_absent_classes_are_told_and_not_averaged():
  result = evaluate(np.eye(3, dtype=np.float32), np.array([0, 1, 0]))
  assert result["classes"] == "2 of 3"
  assert result["per_class_accuracy"] == [0.5, 1.0, None]
  assert result["mean_per_class_accuracy"] == 0.75
  whole = evaluate(np.eye(3, dtype=np.float32), np.array([0, 1, 2]))
  assert "classes" not in whole


def test_a_label_below_minus_one_belongs_to_no_class():
  result = evaluate(np.eye(3, dtype=np.float32), np.array([0, 1, -2]))
  assert result["per_class_accuracy"] == [1.0, 1.0, None]


@pytest.mark.parametrize("label", [-2, 3, 1000])
def test_a_label_that_no_class_has_is_wrong_and_makes_the_loss_nan(label):
  result = evaluate(np.eye(3, dtype=np.float32), np.array([0, 1, label]))
  assert result["top1"] == 2 / 3
  assert result["count"] == 3
  assert np.isnan(result["loss"])


def test_top5_of_three_classes_is_top3():
  result = evaluate(np.eye(3, dtype=np.float32), np.array([2, 2, 2]))
  assert result["top5"] == 1
  assert result["top1"] == 1 / 3


def test_bfloat16_logits_give_a_float32_loss():
  logits = jnp.zeros((300, 10), jnp.bfloat16)
  result = evaluate(logits, np.zeros(300, np.int32))
  np.testing.assert_allclose(result["loss"], np.log(10), rtol=1e-6)


def test_totals_pass_the_range_of_int32():
  sums = {
    name: jnp.asarray(2**30, jnp.int32) for name in ("top1", "top5", "count")
  }
  sums |= {
    "loss": jnp.float32(0),
    "class_right": jnp.array([2**30]),
    "class_count": jnp.array([2**30]),
  }
  totals = None
  for _ in range(4):
    totals = evaluator.accumulate(totals, sums)
  result = accuracy.scores(totals or {})
  assert result["count"] == 2**32
  assert result["top1"] == 1


def test_many_small_losses_do_not_drift():
  totals = None
  sums = {"loss": jnp.float32(0.1), "count": jnp.int32(1)}
  for _ in range(5000):
    totals = evaluator.accumulate(totals, sums)
  assert totals is not None
  # float64 sums; in float32 they would be 1e-5 off and more.
  np.testing.assert_allclose(
    totals["loss"], 5000 * float(np.float32(0.1)), rtol=1e-12
  )


def test_metrics_are_plain_json(batch):
  result = evaluate(*batch)
  assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_no_examples_are_an_error():
  with pytest.raises(ValueError, match="count=0"):
    evaluate(np.eye(3, dtype=np.float32), np.arange(3), np.zeros(3, bool))


def test_logits_of_another_class_count_are_an_error():
  with pytest.raises(ValueError, match=r"\(3, 3\) must be \[B, 4\]"):
    accuracy.batch_sums(
      jnp.eye(3), jnp.arange(3), jnp.ones(3, dtype=jnp.bool), 4
    )
