"""What trained the runs, process by process, and what made the page."""

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from van_jax.analysis.report import endings, legend, numbers
from van_jax.analysis.report.markup import Markup, element, joined
from van_jax.analysis.report.runs import Run
from van_jax.analysis.report.tables import table

_LIBRARIES = ("van_jax", "jax", "jaxlib", "flax", "optax", "numpy")
_OF_ONE, _OF_EACH = 50, 3  # The last starts that are shown.


def section(runs: Sequence[Run]) -> Markup:
  """Returns the section of systems."""
  shown = _OF_ONE if len(runs) == 1 else _OF_EACH
  rows = [
    _start(number, run, start, is_last=start is run.starts[-1])
    for number, run in enumerate(runs)
    for start in run.starts[-shown:]
  ]
  head = ["run", "began", "ended", "how", "host", "devices", "versions"]
  folders = [
    [legend.mark(number, run.name), element("code", run.workdir)]
    for number, run in enumerate(runs)
  ]
  return joined(
    table(head, rows, caption="The last processes of each run", class_="words")
    if rows
    else element("p", "No run has kept a record of its processes."),
    table(
      ["run", "workdir"], folders, caption="The runs' folders", class_="words"
    ),
    table(
      ["", "version"], _here(), caption="What made this page", class_="words"
    ),
  )


def _start(
  number: int, run: Run, start: Mapping[str, Any], *, is_last: bool
) -> list[Any]:
  """Returns the cells of a process's start."""
  ended = start.get("ended")
  how = start.get("why") or "all steps done"
  if ended is None:
    running = is_last and endings.ending(run).kind == endings.RUNNING
    how = "going on" if running else "cut off, or going on elsewhere"
  versions = start.get("versions")
  listed = [
    f"{name} {version}"
    for name, version in (
      versions.items() if isinstance(versions, Mapping) else ()
    )
    if version
  ]
  processes = start.get("processes", "?")
  devices, kind = start.get("devices", "?"), start.get("device_kind", "?")
  return [
    legend.mark(number, run.name),
    numbers.moment(start["began"]),
    "-" if ended is None else numbers.moment(ended),
    element("td", how, class_="text"),
    start.get("host", "?"),
    f"{devices} x {kind}, {processes} processes",
    element("td", ", ".join(listed), class_="text"),
  ]


def _here() -> list[list[str]]:
  rows = [["Python", platform.python_version()]]
  rows += [[library, _version(library)] for library in _LIBRARIES]
  return [*rows, ["system", platform.platform()]]


def _version(library: str) -> str:
  try:
    return importlib.metadata.version(library)
  except importlib.metadata.PackageNotFoundError:
    return "-"  # Ours, in a checkout.
