"""What a model answered, image by image: the likeliest classes of each."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

NO_ANSWER = -1  # The class of a row of logits with a NaN.
_KEY = "answers"  # Beside the sums of a batch.


class Answers(NamedTuple):
  """The answers to N images, in the order of the data.

  Attributes:
    labels: [N] int32, as in the batches.
    classes: [N, T] int32, the likeliest first; NO_ANSWER where there is none.
    probabilities: [N, T] float32, of the softmax over all classes.
  """

  labels: np.ndarray
  classes: np.ndarray
  probabilities: np.ndarray


def numbered(
  batches: Iterable[Mapping[str, np.ndarray]], start: int
) -> Iterator[dict[str, np.ndarray]]:
  """Yields batches with "index", the number of each example in its split.

  Args:
    batches: of one process, in order; only the last ones are filled up.
    start: the number of the first example.
  """
  for batch in batches:
    size = len(batch["mask"])
    index = np.arange(start, start + size, dtype=np.int32)
    yield {**batch, "index": index}
    start += size


def beside(
  sums: Callable[..., dict[str, Any]], top: int
) -> Callable[..., dict[str, Any]]:
  """Returns `(logits, batch) -> sums` that a `Collector` takes answers from.

  Args:
    sums: `(logits, batch) -> sums` of a task.
    top: classes an image, T.
  """

  def with_answers(logits, batch):
    return {**sums(logits, batch), _KEY: _answers(logits, batch, top)}

  return with_answers


class Collector:
  """Takes the answers out of the sums of batches, as they come."""

  def __init__(self) -> None:
    self._parts: list[dict[str, np.ndarray]] = []
    self._pending: Mapping[str, jax.Array] | None = None

  def watch(self, eval_step: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a step that keeps the answers, and gives the sums alone."""

    def step(variables, batch):
      sums = dict(eval_step(variables, batch))
      self._fetch()  # One batch late, so that the device never idles.
      self._pending = sums.pop(_KEY)
      return sums

    return step

  def result(self) -> Answers:
    """Returns all answers; every process has those of all."""
    self._fetch()
    whole = {
      name: np.concatenate([part[name] for part in self._parts])
      for name in self._parts[0]
    }
    order = np.argsort(whole["index"], kind="stable")
    return Answers(*(whole[name][order] for name in Answers._fields))

  def _fetch(self) -> None:
    if self._pending is None:
      return
    part = {name: np.asarray(value) for name, value in self._pending.items()}
    self._parts.append({name: v[part["mask"]] for name, v in part.items()})
    self._pending = None


def confusion(answers: Answers, num_classes: int) -> np.ndarray:
  """Returns how often class t was taken for class p, [K, K] int64, at [t, p].

  Images without a class, and those without an answer, are in no cell.

  Args:
    answers: of all images.
    num_classes: K.
  """
  true, predicted = answers.labels, answers.classes[:, 0]
  counted = (true >= 0) & (true < num_classes) & (predicted != NO_ANSWER)
  matrix = np.zeros((num_classes, num_classes), np.int64)
  np.add.at(matrix, (true[counted], predicted[counted]), 1)
  return matrix


def _answers(
  logits: jax.Array, batch: Mapping[str, jax.Array], top: int
) -> dict[str, jax.Array]:
  """Returns the likeliest classes, and what tells the images apart.

  Of equal logits the class with the lower index comes first, as in the scores.
  """
  logits = logits.astype(jnp.float32)
  _, classes = jax.lax.top_k(logits, top)
  probabilities = jnp.take_along_axis(jax.nn.softmax(logits), classes, axis=1)
  bad = jnp.isnan(logits).any(axis=1, keepdims=True)
  return {
    "index": batch["index"],
    "mask": batch["mask"],
    "labels": batch["label"],
    "classes": jnp.where(bad, NO_ANSWER, classes),
    "probabilities": jnp.where(bad, jnp.nan, probabilities),
  }
