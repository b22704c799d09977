"""What comes of a sweep: its rows, and their mean and spread over seeds."""

import dataclasses
import html
from collections.abc import Mapping
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.evaluation import seeds as seeds_lib
from van_jax.lab.members import Row

_SHOWN = ("top1", "loss")


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Sweep:
  """Trainings of several variants with several seeds each.

  Printed, it is a table of mean and spread: the standard deviation over the
  seeds, of a sample (n - 1).

  Attributes:
    variants: their names, in order.
    seeds: of each variant.
    rows: one a training that has come to its end, in order.
    failures: by training ("lka, seed 0"), why it has not.
  """

  variants: tuple[str, ...]
  seeds: tuple[int, ...]
  rows: tuple[Row, ...]
  failures: Mapping[str, str]

  def scores(self, variant: str, name: str = "top1") -> np.ndarray:
    """Returns one score of a variant's trainings, [finished seeds] float64.

    Raises:
      UserError: for a variant or a score that there is not.
    """
    if variant not in self.variants:
      raise errors.UserError(
        f"variant={variant!r} is none of {', '.join(self.variants)}."
      )
    rows = [row for row in self.rows if row.variant == variant]
    for row in rows:
      if name not in row.scores:
        raise errors.UserError(
          f"score {name!r} is none of {', '.join(row.scores)}."
        )
    return np.array([row.scores[name] for row in rows])

  def summary(self, name: str = "top1") -> dict[str, seeds_lib.Seeds]:
    """Returns each variant's score over its seeds: its mean and its spread.

    sweep.summary("loss")["lka"].mean
    """
    return {
      variant: seeds_lib.Seeds(
        self.scores(variant, name).tolist(), len(self.seeds)
      )
      for variant in self.variants
    }

  def frame(self) -> Any:
    """Returns a pandas DataFrame, a row a training: variant, seed, scores.

    Raises:
      UserError: without pandas.
    """
    try:
      import pandas
    except ImportError as error:
      raise errors.UserError(
        "sweep.frame() needs pandas, which is not installed: "
        'pip install "van_jax[notebooks]"; sweep.rows needs none.'
      ) from error
    return pandas.DataFrame(
      [
        {"variant": row.variant, "seed": row.seed, **row.scores}
        for row in self.rows
      ]
    )

  def _table(self) -> tuple[list[str], list[list[str]]]:
    """Returns titles and cells."""
    found = [self.summary(name) for name in _SHOWN]
    titles = ["variant", "runs"]
    for name in _SHOWN:
      titles += [f"{name}, mean", "spread"]
    rows = []
    for variant in self.variants:
      row = [variant, found[0][variant].finished]
      for of_score in found:
        score = of_score[variant]
        row += [seeds_lib.number(score.mean), seeds_lib.number(score.spread)]
      rows.append(row)
    return titles, rows

  def __repr__(self) -> str:
    """Returns the table in Markdown, and a line for each failure."""
    failed = [f"{title}: {why}" for title, why in self.failures.items()]
    return "\n".join([*seeds_lib.markdown(*self._table()), *failed])

  def _repr_html_(self) -> str:
    """Returns the table for notebooks."""
    titles, rows = self._table()
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "".join(
      f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
      for row in rows
    )
    failed = "".join(
      f"<p>{html.escape(f'{title}: {why}')}</p>"
      for title, why in self.failures.items()
    )
    return (
      f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
      f"{failed}"
    )
