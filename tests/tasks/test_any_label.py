"""Several labels an image: against the authors' few lines of NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax.evaluation import evaluator
from van_jax.tasks import accuracy

LISTS = [[3], [], [1, 7, 2], [0, 9], [], [5, 6, 4, 8]] * 60


def table(lists):
  longest = max(map(len, lists))
  return np.array([[*ls, *[-1] * (longest - len(ls))] for ls in lists])


def evaluate(logits, lists, mask=None):
  mask = np.ones(len(lists), bool) if mask is None else mask
  sums = jax.jit(accuracy.any_label_sums)(
    jnp.asarray(logits), jnp.asarray(table(lists)), jnp.asarray(mask)
  )
  return accuracy.scores(evaluator.accumulate(None, sums))


@pytest.fixture
def logits():
  """Returns [360, 10] random numbers."""
  return np.random.default_rng(2).normal(size=(360, 10)).astype(np.float32)


def test_top1_is_what_the_authors_compute(logits):
  answers = logits.argmax(1)
  right = [a in ls for a, ls in zip(answers, LISTS, strict=True) if ls]
  assert evaluate(logits, LISTS) == {
    "top1": np.mean(right),
    "top5": evaluate(logits, LISTS)["top5"],
    "count": 240,
  }


def test_top5_is_right_if_one_of_five_answers_is(logits):
  answers = np.argsort(-logits, axis=1)[:, :5]
  right = [
    bool(set(five.tolist()) & set(ls))
    for five, ls in zip(answers, LISTS, strict=True)
    if ls
  ]
  assert evaluate(logits, LISTS)["top5"] == np.mean(right)


def test_one_label_an_image_gives_the_ordinary_accuracies(logits):
  labels = np.arange(360) % 10
  sums = accuracy.batch_sums(
    jnp.asarray(logits), jnp.asarray(labels), jnp.ones(360, jnp.bool), 10
  )
  ordinary = accuracy.scores(evaluator.accumulate(None, sums))
  ours = evaluate(logits, [[int(label)] for label in labels])
  assert ours == {key: ordinary[key] for key in ("top1", "top5", "count")}


def test_padding_is_not_counted(logits):
  mask = np.arange(360) % 3 > 0
  kept = [ls for ls, real in zip(LISTS, mask, strict=True) if real]
  logits[~mask] = np.nan
  assert evaluate(logits, LISTS, mask) == evaluate(logits[mask], kept)


def test_a_row_with_nan_is_wrong():
  result = evaluate(np.full((1, 10), np.nan, np.float32), [list(range(10))])
  assert result == {"top1": 0, "top5": 0, "count": 1}
