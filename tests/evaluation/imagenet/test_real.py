"""Several labels an image: against the authors' few lines of NumPy."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax.evaluation import metrics
from van_jax.evaluation.imagenet import real

LISTS = [[3], [], [1, 7, 2], [0, 9], [], [5, 6, 4, 8]] * 60


def table(lists):
  longest = max(map(len, lists))
  return np.array([[*ls, *[-1] * (longest - len(ls))] for ls in lists])


def evaluate(logits, lists, mask=None):
  mask = np.ones(len(lists), bool) if mask is None else mask
  sums = jax.jit(real.label_sums)(
    jnp.asarray(logits), jnp.asarray(table(lists)), jnp.asarray(mask)
  )
  return metrics.finalize(metrics.accumulate(None, sums))


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
  sums = metrics.batch_sums(
    jnp.asarray(logits), jnp.asarray(labels), jnp.ones(360, jnp.bool), 10
  )
  ordinary = metrics.finalize(metrics.accumulate(None, sums))
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


def test_the_file_becomes_a_table_of_50000_rows():
  lists = [[] for _ in range(50_000)]
  lists[0], lists[49_999] = [999, 0], [5]
  rows = real.parse(json.dumps(lists), name="real.json", num_classes=1000)
  assert rows.shape == (50_000, 2)
  assert rows[0].tolist() == [999, 0]
  assert rows[49_999].tolist() == [5, -1]
  assert (rows[1:49_999] == -1).all()


@pytest.mark.parametrize(
  ("lists", "message"),
  [
    ([[]] * 49_999, "a list of 50000 lists.* has 49999"),
    ({"a": 1}, "a list of 50000 lists.* has dict"),
    ([[]] * 49_999 + [[1000]], r"entry 50000, \[1000\], .* from 0 to 999"),
    ([[-1]] + [[]] * 49_999, r"entry 1, \[-1\]"),
    ([[True]] + [[]] * 49_999, r"entry 1, \[True\]"),
    ([3] + [[]] * 49_999, "entry 1, 3"),
    (["12"] + [[]] * 49_999, "entry 1, 12"),
    ([[]] * 50_000, "no label at all"),
  ],
)
def test_a_file_that_is_something_else_is_an_error(lists, message):
  with pytest.raises(ValueError, match=message):
    real.parse(json.dumps(lists), name="real.json", num_classes=1000)


def test_a_file_that_is_cut_off_is_an_error():
  with pytest.raises(ValueError, match=r"real\.json is not JSON"):
    real.parse("[[1], [2", name="real.json", num_classes=1000)
