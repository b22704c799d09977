"""Tasks by name: what is handed over, and what is refused."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import tasks

PARTS: dict[str, Any] = {
  "prepare": lambda key, batch: (batch["image"], batch["label"]),
  "loss": lambda outputs, targets: (jnp.mean(outputs), {}),
  "inputs": lambda batch: batch["image"],
  "sums": lambda outputs, batch: {},
  "scores": lambda totals: {},
  "best": "error",
}


def counting(*, num_classes, step=1):
  """Stands for a stranger's task: it wants one thing, and has one option."""
  return tasks.Task(**PARTS, classes=num_classes + step)


def nothing():
  """Stands for a function that is no task's."""


def classification(loss=lambda logits, targets: jnp.mean(logits - targets)):
  """Returns the task of three classes; mixing inverts, erasing doubles."""
  return tasks.create_task(
    num_classes=3,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    mixing=lambda key, images, labels, num_classes: (
      255 - images,
      jax.nn.one_hot(labels, num_classes),
    ),
    erasing=lambda key, images: images * 2,
    loss=loss,
  )


def test_a_task_gets_what_it_declares_and_its_options():
  task = tasks.create_task(
    name=f"{__name__}:counting",
    options={"step": 5},
    num_classes=3,
    mean=(0.5, 0.5, 0.5),
  )
  assert task.classes == 8


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"name": "clasify"}, r"task\.name='clasify' .*there are classification"),
    ({"name": f"{__name__}:absent"}, "cannot be imported: AttributeError"),
    ({"name": f"{__name__}:nothing"}, "gives NoneType and must give a"),
    (
      {"name": f"{__name__}:counting", "options": {"stop": 2}},
      r"task\.options\.stop .*did you mean step",
    ),
    (
      {"name": f"{__name__}:counting", "options": {"num_classes": 2}},
      r"task\.options\.num_classes is no option",
    ),
  ],
)
def test_what_is_no_task_is_an_error(arguments, message):
  with pytest.raises(ValueError, match=message):
    tasks.create_task(**arguments, num_classes=3)


def test_the_best_score_is_the_highest_or_the_lowest():
  with pytest.raises(ValueError, match="best_mode='least' must be one of max"):
    tasks.Task(**PARTS, best_mode="least")


def test_classification_mixes_bytes_then_normalises_then_erases(key):
  white = np.full((2, 4, 4, 3), 255, np.uint8)
  batch: Any = {"image": white, "label": np.array([0, 2])}
  images, targets = classification().prepare(key, batch)
  np.testing.assert_array_equal(images, -2.0)  # Black is -1; times 2.
  np.testing.assert_array_equal(targets, [[1, 0, 0], [0, 0, 1]])
  np.testing.assert_array_equal(classification().inputs(batch), 1.0)


def test_classification_logs_top1_against_the_largest_target():
  logits = jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 0.5]])
  targets = jnp.array([[0.6, 0.4, 0.0], [0.3, 0.0, 0.7]])
  loss, metrics = classification(lambda x, t: jnp.sum(x * t)).loss(
    logits, targets
  )
  assert float(loss) == pytest.approx(1.95)  # 1.2 + 0.4 + 0.35.
  assert {name: float(value) for name, value in metrics.items()} == {
    "top1": 0.5
  }
