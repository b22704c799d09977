"""What comes of a training in Python."""

import dataclasses
import os
from typing import Any

from van_jax import bundle as bundle_lib, data, models
from van_jax.lab.history import History


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Fit:
  """A trained model, and how it came to be.

  Attributes:
    model: as it was given, or made by its name.
    variables: {"params", "batch_stats"}, those of the last step; averaged, if
      the recipe keeps averages.
    history: each metric's steps and values, by name, as `read_history` has it.
    scores: of the last evaluation: top1, top5, loss, count,
      mean_per_class_accuracy; empty where nothing was held out.
    best: of the evaluation with the best top-1, and its "epoch".
    preprocessing: what the model expects of an image.
    labels: one name a class.
    step: updates done.
    total_steps: updates that there were to do.
    is_whole: whether it came to its end, the last evaluation too; false after
      Ctrl-C.
    told: the recipe, as JSON values.
  """

  model: Any
  variables: dict[str, Any]
  history: History
  scores: dict[str, float]
  best: dict[str, float]
  preprocessing: data.Preprocessing
  labels: tuple[str, ...]
  step: int
  total_steps: int
  is_whole: bool
  told: dict[str, Any]

  def bundle(self) -> bundle_lib.Bundle[models.VAN]:
    """Returns it as what `van_jax.predict` takes; of a VAN.

    van_jax.predict(fit.bundle(), "cat.jpg")

    Raises:
      UserError: if it is no VAN.
    """
    bundle_lib.check_kind(self.model)
    return bundle_lib.Bundle(
      model=self.model,
      variables=self.variables,
      preprocessing=self.preprocessing,
      labels=self.labels,
      source=self._source(),
    )

  def save(
    self, path: str | os.PathLike[str], *, overwrite: bool = False
  ) -> None:
    """Writes what `van_jax.load_bundle` reads: weights, labels and all; a VAN.

    Args:
      path: the folder to make.
      overwrite: replace a bundle that is there already.

    Raises:
      UserError: if it is no VAN, or `path` may not be replaced.
    """
    bundle_lib.save_bundle(
      path,
      model=self.model,
      variables=self.variables,
      preprocessing=self.preprocessing,
      labels=self.labels,
      source=self._source(),
      overwrite=overwrite,
    )

  def _source(self) -> dict[str, Any]:
    return {
      "format": "van_jax.fit",
      "step": self.step,
      "recipe": self.told,
      **self.scores,
    }

  def __repr__(self) -> str:
    """Returns a few lines; no weights."""
    epochs = self.step / self.history.epoch_steps
    stopped = "" if self.is_whole else f" of {self.total_steps}, stopped"
    lines = [f"Fit: {epochs:.4g} epochs, {self.step} steps{stopped}"]
    for name, scores in (("last", self.scores), ("best", self.best)):
      shown = ", ".join(f"{key} {value:.4g}" for key, value in scores.items())
      lines += [f"  {name}  {shown}"] if shown else []
    return "\n".join(lines)
