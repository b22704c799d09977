"""What a run's weights answered to the images of its evaluation split."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from van_jax.evaluation.answers import NO_ANSWER, Answers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
  """An image, its answer and where the network looked.

  Attributes:
    index: of the image in the split.
    name: of the image: its file, or its number.
    image: uint8 [S, S, 3], as the network sees it.
    maps: by name, float [h, w] in [0, 1], of any size.
  """

  index: int
  name: str
  image: np.ndarray
  maps: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examined:
  """The answers of a run, or why there are none.

  Attributes:
    answers: to all images; None where there are none.
    names: [K], of the classes.
    images: [N], their names.
    pictures: of some of them.
    origin: a sentence that says where the answers come from.
    missing: a sentence that says what is not there, and why; "" for nothing.
  """

  answers: Answers | None = None
  names: tuple[str, ...] = ()
  images: Sequence[str] = ()
  pictures: Sequence[Picture] = ()
  origin: str = ""
  missing: str = ""


def is_right(answers: Answers) -> np.ndarray:
  """Returns whether the likeliest class is the image's, [N] bool."""
  return answers.labels == answers.classes[:, 0]


def choose(answers: Answers, count: int) -> list[int]:
  """Returns images to look at: wrong answers first, then right ones.

  Half of them wrong, those that the network was surest of; the others right,
  evenly spread over the split, so that they are no choice of ours. Where there
  are too few of a kind there are more of the other.

  Args:
    answers: to all images.
    count: how many images, at most.
  """
  labelled = answers.labels >= 0
  sure = np.nan_to_num(answers.probabilities[:, 0])
  wrong = np.flatnonzero(labelled & ~is_right(answers))
  wrong = wrong[np.argsort(-sure[wrong], kind="stable")]
  right = np.flatnonzero(labelled & is_right(answers))
  of_wrong = min(len(wrong), max(count // 2, count - len(right)))
  of_right = min(len(right), count - of_wrong)
  spread = np.linspace(0, len(right) - 1, of_right).round().astype(int)
  return [*wrong[:of_wrong].tolist(), *right[spread].tolist()]


def class_accuracy(answers: Answers, num_classes: int) -> np.ndarray:
  """Returns the accuracy of each class, [K]; NaN for those without images."""
  known = (answers.labels >= 0) & (answers.labels < num_classes)
  labels, right = answers.labels[known], is_right(answers)[known]
  count = np.bincount(labels, minlength=num_classes)
  hits = np.bincount(labels[right], minlength=num_classes)
  return np.where(count, hits / np.maximum(count, 1), np.nan)


def most_confused(answers: Answers, count: int) -> list[tuple[int, int, int]]:
  """Returns (true, predicted, images) of the pairs mistaken most often.

  Args:
    answers: to all images.
    count: of pairs, at most; those never mistaken are left out.
  """
  true, predicted = answers.labels, answers.classes[:, 0]
  wrong = (true >= 0) & (predicted != NO_ANSWER) & ~is_right(answers)
  # No matrix: of 21,841 classes it would take 4 GB.
  pairs = np.stack([true[wrong], predicted[wrong]], axis=1)
  found, images = np.unique(pairs, axis=0, return_counts=True)
  order = np.argsort(-images, kind="stable")[:count]
  return [(*found[i].tolist(), int(images[i])) for i in order]
