"""Evaluation: every example once, on any number of devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import parallel
from van_jax.evaluation import evaluator
from van_jax.tasks import accuracy


def apply(variables, images, *, train):
  """Stands for a model: logits are the first three pixels' red."""
  assert not train
  return images[:, 0, :3, 0] * variables["params"]


def examples(count):
  numbers = np.random.default_rng(1)
  return {
    "image": numbers.integers(0, 256, (count, 2, 3, 3), dtype=np.uint8),
    "label": numbers.integers(0, 3, count, dtype=np.int32),
  }


def batches(data, size):
  """Cuts examples into batches; the last is filled with wrong answers."""
  count = len(data["label"])
  for start in range(0, count, size):
    part = {k: v[start : start + size] for k, v in data.items()}
    short = size - len(part["label"])
    part = {
      k: np.concatenate([v, np.repeat(v[-1:], short, axis=0)])
      for k, v in part.items()
    }
    yield part | {"mask": np.arange(size) < size - short}


def scores(data, size, devices=1):
  step = evaluator.make_eval_step(
    apply=apply,
    inputs=lambda batch: batch["image"].astype(jnp.float32),
    sums=lambda logits, batch: accuracy.batch_sums(
      logits, batch["label"], batch["mask"], 3
    ),
    mesh=parallel.create_mesh(jax.devices()[:devices]),
  )
  return evaluator.evaluate(
    step,
    {"params": jnp.float32(1.0)},
    batches(data, size),
    accuracy.scores,
  )


def test_ten_examples_in_batches_of_four_count_ten():
  data = examples(10)
  logits = data["image"][:, 0, :, 0]
  result = scores(data, 4)
  assert result["count"] == 10
  assert result["top1"] == np.mean(logits.argmax(-1) == data["label"])


@pytest.mark.parametrize("size", [8, 16, 40])
def test_devices_and_batch_size_do_not_matter(size):
  data = examples(29)
  one = scores(data, 29)
  many = scores(data, size, devices=8)
  # A float32 sum of 29 terms of up to 255 in another order: 29 * 6e-8.
  assert many.pop("loss") == pytest.approx(one.pop("loss"), rel=2e-6)
  assert many == one


def test_no_batch_is_an_error():
  with pytest.raises(ValueError, match="empty"):
    scores(examples(0), 4)


def test_integers_and_floats_add_up_without_overflow_or_drift():
  most = jnp.int32(2**31 - 1)
  sums = {"count": most, "error": jnp.full(2, 2.0**24, jnp.float32)}
  ones = {"count": most, "error": jnp.ones(2, jnp.float32)}
  totals = evaluator.accumulate(evaluator.accumulate(None, sums), ones)
  assert totals["count"] == 2 * (2**31 - 1)
  np.testing.assert_array_equal(totals["error"], 2.0**24 + 1)
