"""The answers to each image: once, in order, on any devices and processes."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import parallel
from van_jax.evaluation import answer_files, answers, evaluator
from van_jax.tasks import accuracy

K = 6


def collect(logits, labels, *, size, devices=1, shuffled=False):
  """Returns answers and scores of logits, [N, 6], in batches of `size`."""
  count = len(labels)
  padded = -(-count // size) * size
  whole = {
    "image": np.pad(logits, [(0, padded - count), (0, 0)]),
    "label": np.pad(labels, (0, padded - count)),
    "mask": np.arange(padded) < count,
  }
  parts = [
    {k: v[i : i + size] for k, v in whole.items()}
    for i in range(0, padded, size)
  ]
  batches = list(answers.numbered(parts, 0))
  if shuffled:  # As a mesh may lay out processes.
    batches = [{k: v[::-1] for k, v in batch.items()} for batch in batches]
  sums = answers.beside(
    lambda x, b: accuracy.batch_sums(x, b["label"], b["mask"], K), 5
  )
  step = evaluator.make_eval_step(
    apply=lambda _, x, train: x,
    inputs=lambda batch: batch["image"],
    sums=sums,
    mesh=parallel.create_mesh(jax.devices()[:devices]),
  )
  collector = answers.Collector()
  scores = evaluator.evaluate(
    collector.watch(step), {}, batches, accuracy.scores
  )
  return collector.result(), scores


@pytest.fixture(scope="module")
def data():
  """Returns logits [29, 6] and labels, -1 for one."""
  numbers = np.random.default_rng(0)
  labels = numbers.integers(0, K, 29).astype(np.int32)
  labels[3] = -1
  logits = numbers.normal(size=(29, K)).astype(np.float32)
  logits[np.arange(29), labels] += 1
  return logits, labels


@pytest.mark.parametrize(
  ("size", "devices", "shuffled"),
  [(29, 1, False), (8, 8, False), (16, 8, True)],
)
def test_every_image_is_answered_once_and_in_order(
  data, size, devices, shuffled
):
  logits, labels = data
  found, _ = collect(
    logits, labels, size=size, devices=devices, shuffled=shuffled
  )
  order = np.argsort(-logits, axis=1)[:, :5]
  odds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  np.testing.assert_array_equal(found.labels, labels)
  np.testing.assert_array_equal(found.classes, order)
  np.testing.assert_allclose(  # A float32 softmax in another order.
    found.probabilities, np.take_along_axis(odds, order, 1), rtol=1e-5
  )


def test_the_confusion_matrix_holds_what_the_scores_say(data):
  logits, labels = data
  found, scores = collect(logits, labels, size=8)
  matrix = answers.confusion(found, K)
  assert matrix.sum() == scores["count"] == 28
  assert np.trace(matrix) / matrix.sum() == scores["top1"]
  per_class = matrix.diagonal() / matrix.sum(1)
  np.testing.assert_allclose(per_class, scores["per_class_accuracy"])
  true, answer = labels[0], logits[0].argmax()
  assert matrix[true, answer] >= 1


def test_a_row_with_nan_has_no_answer(tmp_path):
  logits = np.eye(K, dtype=np.float32)[:2]
  logits[1, 2] = np.nan
  found, scores = collect(logits, np.array([0, 1], np.int32), size=2)
  assert scores["top1"] == 0.5
  assert answers.confusion(found, K).sum() == 1
  path = tmp_path / "p.csv"
  answer_files.write_predictions(str(path), found, tuple("abcdef"), str)
  assert path.read_text().splitlines()[2] == "1,b,,nan,,nan,,nan,,nan,,nan"


def test_predictions_are_a_line_an_image(data, tmp_path):
  logits, labels = data
  found, _ = collect(logits, labels, size=29)
  path = tmp_path / "new" / "p.csv"
  names = ("a,1", 'b"2', "c", "d", "e", "f")
  describe = "folder/{}.png".format
  answer_files.write_predictions(str(path), found, names, describe)
  rows = list(csv.DictReader(path.read_text().splitlines()))
  assert len(rows) == 29
  assert rows[7]["image"] == "folder/7.png"
  assert rows[7]["label"] == names[labels[7]]
  assert rows[3]["label"] == ""
  assert rows[7]["top1"] == names[logits[7].argmax()]
  assert float(rows[7]["probability1"]) >= float(rows[7]["probability2"])


def test_a_matrix_is_written_with_names_or_bare(tmp_path):
  matrix = np.array([[3, 1], [0, 2]])
  for name in ("m.npy", "M.NPY"):
    answer_files.write_matrix(str(tmp_path / name), matrix, ("a", "b"))
    np.testing.assert_array_equal(np.load(tmp_path / name), matrix)
  answer_files.write_matrix(str(tmp_path / "m.csv"), matrix, ("a", "b"))
  assert (tmp_path / "m.csv").read_text() == "true,a,b\na,3,1\nb,0,2\n"


def test_ties_go_to_the_lower_class_as_in_the_scores():
  found, scores = collect(
    np.zeros((2, K), np.float32), np.array([0, 5], np.int32), size=2
  )
  np.testing.assert_array_equal(found.classes, [[0, 1, 2, 3, 4]] * 2)
  assert scores["top1"] == scores["top5"] == 0.5
  assert jnp.isfinite(scores["loss"])
