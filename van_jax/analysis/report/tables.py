"""Tables of the page, which scroll by themselves where they are wide."""

from collections.abc import Iterable, Sequence
from typing import Any

from van_jax.analysis.report.markup import Markup, element


def table(
  head: Sequence[Any],
  rows: Iterable[Sequence[Any]],
  *,
  caption: str,
  class_: str | None = None,
) -> Markup:
  """Returns a table whose first line and column are headers.

  Args:
    head: the titles of the columns.
    rows: cells of each line; markup as it is.
    caption: says what it shows, to all readers.
    class_: of the table.
  """
  return element(
    "div",
    element(
      "table",
      element("caption", caption),
      element(
        "thead", element("tr", *(element("th", t, scope="col") for t in head))
      ),
      element("tbody", *map(_row, rows)),
      class_=class_,
    ),
    class_="wide",
    tabindex="0",
    role="region",
    aria_label=caption,
  )


def _row(cells: Sequence[Any]) -> Markup:
  first, *others = cells
  return element(
    "tr",
    element("th", first, scope="row"),
    *(cell if is_cell(cell) else element("td", cell) for cell in others),
  )


def is_cell(cell: Any) -> bool:
  """Returns whether a cell brings its own element, with a class."""
  return isinstance(cell, Markup) and cell.startswith("<td")
