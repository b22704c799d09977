"""The files that an evaluation writes: where, and the one of its scores."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from van_jax import data, places
from van_jax.evaluation import answer_files, mask_files
from van_jax.experiment import scoring

# Endings by field; any if none.
_KINDS = {"output": (), "confusion_matrix": answer_files.MATRIX_KINDS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreFiles:
  """What an evaluation writes; None for nothing.

  Attributes:
    output: a JSON file for all scores, the accuracy of each class too.
    predictions: a CSV file for the likeliest classes of each image; of masks a
      folder, new or empty, for a PNG of each.
    confusion_matrix: a CSV or NPY file, of images, or of the pixels of masks.
  """

  output: str | None
  predictions: str | None
  confusion_matrix: str | None

  @property
  def of_answers(self) -> bool:
    """Whether they need the answers, image by image."""
    return bool(self.predictions or self.confusion_matrix)

  def check(self) -> None:
    """Raises UserError where one cannot be written, before any work.

    What `predictions` must be, the data tells: see `check_predictions`.
    """
    for name, kinds in _KINDS.items():
      if path := getattr(self, name):
        places.check_file(path, name, kinds=kinds)

  def check_predictions(self, *, has_masks: bool) -> None:
    """Raises UserError where they cannot be written, before devices are used.

    Args:
      has_masks: whether the data's labels are masks.
    """
    if self.predictions and has_masks:
      mask_files.check_folder(self.predictions, "predictions")
    elif self.predictions:
      kinds = answer_files.PREDICTIONS_KINDS
      places.check_file(self.predictions, "predictions", kinds=kinds)

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
