"""Which line is which run's: a dash of its colour before each name."""

from collections.abc import Sequence

from van_jax.analysis.report import palette
from van_jax.analysis.report.markup import Markup, element, joined
from van_jax.analysis.report.runs import Run


def mark(number: int, name: str) -> Markup:
  """Returns a run's name with a dash as its lines are drawn.

  Args:
    number: of the run on the page.
    name: of the run.
  """
  dash = element(
    "path",
    d="M1 6H27",
    class_="line",
    stroke=palette.colour(number),
    stroke_dasharray=palette.dash(number),
  )
  swatch = element(
    "svg", dash, viewBox="0 0 28 12", class_="swatch", aria_hidden="true"
  )
  return joined(swatch, name)


def legend(runs: Sequence[Run]) -> Markup | None:
  """Returns buttons that show and hide a run; None for a single run."""
  if len(runs) == 1:
    return None
  buttons = [
    element(
      "button",
      mark(number, run.name),
      type="button",
      aria_pressed="true",
      data_run=number,
      title="show or hide this run's lines",
    )
    for number, run in enumerate(runs)
  ]
  return element(
    "div", *buttons, class_="legend", role="group", aria_label="Runs"
  )
