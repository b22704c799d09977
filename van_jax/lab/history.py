"""What `fit` has measured, by the names of `van_jax.read_history`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.training.run.history import Series


class History(dict[str, Series]):
  """Each metric's steps and values: "train/loss", "eval/top1", ...

    steps, loss = fit.history["train/loss"]

  Attributes:
    epoch_steps: updates in an epoch.
  """

  def __init__(self, series: Mapping[str, Series], *, epoch_steps: int):
    super().__init__(series)
    self.epoch_steps = epoch_steps

  def epochs(self, name: str) -> np.ndarray:
    """Returns where a metric was measured, in epochs done, [N] float64."""
    return self[name].steps / self.epoch_steps

  def frame(self) -> Any:
    """Returns a pandas DataFrame: a row a step, NaN where not measured.

    Raises:
      UserError: without pandas.
    """
    try:
      import pandas
    except ImportError as error:
      raise errors.UserError(
        "history.frame() needs pandas, which is not installed: "
        'pip install "van_jax[notebooks]"; history[NAME].values needs none.'
      ) from error
    columns = {
      name: pandas.Series(series.values, index=series.steps)
      for name, series in self.items()
    }
    frame = pandas.DataFrame(columns).rename_axis("step")
    frame.insert(0, "epoch", frame.index / self.epoch_steps)
    return frame


class Recorder:
  """Takes what a loop writes."""

  def __init__(self) -> None:
    self._found: dict[str, list[tuple[int, float]]] = {}

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    """Adds the scalars of a step."""
    for name, value in scalars.items():
      self._found.setdefault(name, []).append((step, float(value)))

  def history(self, epoch_steps: int) -> History:
    """Returns what was written."""
    series = {
      name: Series(
        np.array([step for step, _ in found], np.int64),
        np.array([value for _, value in found], np.float64),
      )
      for name, found in sorted(self._found.items())
    }
    return History(series, epoch_steps=epoch_steps)
