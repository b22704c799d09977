"""The files that an evaluation writes."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from van_jax import data, errors, places
from van_jax.data.sources.renumbered import RenumberedSplit
from van_jax.data.sources.split import Split
from van_jax.evaluation import answer_files, answers as answers_lib
from van_jax.experiment import scoring

_TOP = 5  # Answers an image.
# Endings by field; any if none.
_KINDS = {
  "output": (),
  "predictions": answer_files.PREDICTIONS_KINDS,
  "confusion_matrix": answer_files.MATRIX_KINDS,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreFiles:
  """What an evaluation writes; None for nothing.

  Attributes:
    output: a JSON file for all scores, the accuracy of each class too.
    predictions: a CSV file for the likeliest classes of each image.
    confusion_matrix: a CSV or NPY file.
  """

  output: str | None
  predictions: str | None
  confusion_matrix: str | None

  @property
  def of_answers(self) -> bool:
    """Whether they need the answers, image by image."""
    return bool(self.predictions or self.confusion_matrix)

  def check(self) -> None:
    """Raises UserError where one cannot be written, before any work."""
    for name, kinds in _KINDS.items():
      if path := getattr(self, name):
        places.check_file(path, name, kinds=kinds)

  def top(self, num_classes: int | None) -> int:
    """Returns how many answers an image gets.

    Raises:
      UserError: if the task's outputs are no classes.
    """
    if num_classes is None:
      raise errors.UserError(
        "predictions and confusion_matrix are of classes, and the outputs of "
        "this task are none; leave them out."
      )
    return min(_TOP, num_classes)

  def write_answers(
    self,
    answers: answers_lib.Answers,
    labels: Sequence[str] | None,
    source: data.Source,
  ) -> None:
    """Writes predictions and confusion matrix, if they are asked for.

    Args:
      answers: to all images.
      labels: the model's class names; None for the data's.
      source: the data, in the model's classes.
    """
    names = tuple(labels or source.class_names)
    if self.predictions:
      assert source.evaluation is not None
      describe = _describer(source.evaluation)
      answer_files.write_predictions(self.predictions, answers, names, describe)
    if self.confusion_matrix:
      matrix = answers_lib.confusion(answers, len(names))
      answer_files.write_matrix(self.confusion_matrix, matrix, names)

  def write_scores(
    self, scores: Mapping[str, Any], source: data.Source, rate: float | None
  ) -> None:
    """Writes all scores as JSON, if they are asked for.

    Args:
      scores: of the task.
      source: the data, in the model's classes.
      rate: images a second; None where it is not known.
    """
    if self.output:
      others = {"images_per_second": rate, "class_names": source.class_names}
      scoring.write(self.output, {**scores, **others})


def _describer(split: Split) -> Any:
  """Returns the function that names an image: by its file, or its number."""
  if isinstance(split, RenumberedSplit):
    split = split.split
  named = type(split).describe is not Split.describe
  return split.describe if named else str
