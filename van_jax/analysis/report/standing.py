"""Where the runs stand, or stopped and why; and what hung."""

from collections.abc import Sequence

from van_jax.analysis.report import endings, legend
from van_jax.analysis.report.markup import Markup, element, joined
from van_jax.analysis.report.runs import Run
from van_jax.analysis.report.tables import table


def section(runs: Sequence[Run]) -> Markup:
  """Returns the section of where runs stand."""
  rows = []
  for number, run in enumerate(runs):
    end = endings.ending(run)
    rows.append(
      [
        legend.mark(number, run.name),
        element("td", end.kind, class_="text"),
        element("td", end.why, class_="text"),
        run.account["runs"] or "-",
        f"{run.account['steps_recomputed']:,}",
      ]
    )
  head = ["run", "stands", "how it is known", "processes", "steps done twice"]
  hangs = [
    joined(
      element("h3", f"{run.name}: {file}, stacks that a hang left"),
      element("pre", text),
    )
    for run in runs
    for file, text in run.hangs.items()
  ]
  return joined(
    table(
      head,
      rows,
      caption="Where each run stands, or stopped, and why",
      class_="words",
    ),
    *hangs,
  )
