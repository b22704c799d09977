"""Charts of lines as SVG: numbers in, markup out.

The drawing is stretched to whatever room there is; the labels beside it are
text of the page, so that they are as large on a telephone as on a screen.
"""

import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from van_jax.analysis.report import axes, palette
from van_jax.analysis.report.axes import Axis
from van_jax.analysis.report.markup import Markup, element, script_json
from van_jax.analysis.report.tables import table

SIDE = 1000  # Of the drawing, in its own units.
POINTS = 300  # The most a line is drawn by, but for its ends.
_DOTS = 40  # Points, at most, of a line that shows each.
_ROWS = 20  # Of the table that says the same.


class Line(NamedTuple):
  """What a chart draws of a run.

  Attributes:
    run: its number on the page, which says its colour.
    name: of the run.
    steps: [N] ascending.
    values: [N]; any may be NaN or infinite, which are gaps.
  """

  run: int
  name: str
  steps: np.ndarray
  values: np.ndarray


def chart(
  title: str,
  lines: Sequence[Line],
  *,
  last_step: int,
  may_be_log: bool = False,
) -> Markup:
  """Returns a chart of one metric, with a table of the same for all readers.

  Args:
    title: of the metric.
    lines: of the runs that have measured it.
    last_step: where its axis of steps ends.
    may_be_log: whether its axis is logarithmic where that helps.
  """
  thinned = [thin(line) for line in lines]
  x = axes.of_steps(last_step)
  y = axes.of_values(  # All that stands out is still in the thinned.
    (value for line in thinned for value in line.values.tolist()),
    may_be_log=may_be_log,
  )
  scale = " by step, logarithmic" if y.log else " by step"
  gaps = _gaps(lines)
  return element(
    "figure",
    element("figcaption", title, element("small", scale)),
    _plot(title, thinned, x, y),
    element("p", gaps, class_="note warning") if gaps else None,
    _table(title, thinned),
    class_="chart",
  )


def thin(line: Line, points: int = POINTS) -> Line:
  """Returns a line of fewer points, with all that stands out still in it.

  It is cut into pieces of equally many points, of each of which the lowest
  and the highest remain, where they are; so do its first and last points, and
  a piece's first gap.

  Args:
    line: of any length.
    points: the most to remain, but for the ends and the gaps.
  """
  if len(line.steps) <= points:
    return line
  kept = {0, len(line.steps) - 1}
  for piece in np.array_split(np.arange(len(line.steps)), points // 2):
    finite = np.isfinite(line.values[piece])
    kept.update(piece[~finite][:1].tolist())
    if finite.any():
      values = line.values[piece[finite]]
      ends = [values.argmin(), values.argmax()]
      kept.update(piece[finite][ends].tolist())
  index = sorted(kept)
  return line._replace(steps=line.steps[index], values=line.values[index])


def path(line: Line, x: Axis, y: Axis) -> str:
  """Returns a line as the data of an SVG path; a gap begins a new piece.

  A piece of a single point has a round end, and so is seen.
  """
  commands, new = [], True
  for step, value in zip(line.steps, line.values, strict=True):
    if not math.isfinite(value):
      new = True
      continue
    across = SIDE * x.place(float(step))
    down = SIDE * (1 - y.place(float(value)))
    commands.append(f"{'M' if new else 'L'}{across:.1f} {down:.1f}")
    if new:
      commands.append("h0")
    new = False
  return "".join(commands)


def dots(line: Line, x: Axis, y: Axis) -> str:
  """Returns the points of a line as the data of an SVG path of dots.

  They are the round ends of lines without length.
  """
  pieces = path(line, x, y).replace("h0", "").replace("L", "M").split("M")[1:]
  return "".join(f"M{piece}h0" for piece in pieces)


def _plot(title: str, lines: Sequence[Line], x: Axis, y: Axis) -> Markup:
  """Returns the drawing with its labels, and the numbers to read out."""
  grid = [_rule(SIDE * (1 - y.place(tick)), "horizontal") for tick in y.ticks()]
  steps = [tick for tick in x.ticks() if tick == int(tick)]
  grid += [_rule(SIDE * x.place(tick), "vertical") for tick in steps]
  paths = [
    _path(path(line, x, y), line, "line", palette.dash(line.run))
    for line in lines
  ]
  paths += [
    _path(dots(line, x, y), line, "line dots", "none")
    for line in lines
    if len(line.steps) <= _DOTS
  ]
  names = ", ".join(line.name for line in lines)
  drawing = element(
    "svg",
    *grid,
    *paths,
    viewBox=f"0 0 {SIDE} {SIDE}",
    preserveAspectRatio="none",
    role="img",
    aria_label=f"{title} by step: {names}; its table follows.",
  )
  labels = [
    _label(axes.label(tick), f"bottom:{100 * y.place(tick):.2f}%", "y")
    for tick in y.ticks()
  ]
  labels += [
    _label(axes.label(tick), f"left:{100 * x.place(tick):.2f}%", "x")
    for tick in steps
  ]
  return element(
    "div",
    drawing,
    *labels,
    element("div", class_="cursor", hidden=True),
    element("output", class_="read-out", hidden=True),
    element("script", _numbers(lines, x, y), type="application/json"),
    class_="plot",
    tabindex="0",
    role="group",
    aria_label=f"{title}: arrow keys read out its values",
  )


def _path(data: str, line: Line, class_: str, dash: str) -> Markup:
  return element(
    "path",
    d=data,
    stroke=palette.colour(line.run),
    stroke_dasharray=dash,
    class_=class_,
    data_run=line.run,
  )


def _rule(place: float, way: str) -> Markup:
  across = f"M0 {place:.1f}H{SIDE}"
  down = f"M{place:.1f} 0V{SIDE}"
  return element(
    "path", d=across if way == "horizontal" else down, class_="rule"
  )


def _label(text: str, style: str, side: str) -> Markup:
  return element(
    "span", text, class_=f"tick {side}", style=style, aria_hidden="true"
  )


def _numbers(lines: Sequence[Line], x: Axis, y: Axis) -> Markup:
  """Returns what the page's script reads out, as JSON."""
  fields = {
    "x": [x.low, x.high],
    "y": [y.low, y.high, y.log],
    "lines": [
      {
        "run": line.run,
        "name": line.name,
        "steps": line.steps.tolist(),
        "values": [_plain(value) for value in line.values.tolist()],
      }
      for line in lines
    ],
  }
  return script_json(json.dumps(fields, separators=(",", ":")))


def _plain(value: float) -> float | str:
  """Returns six digits of a number, or the name of what is none."""
  return float(f"{value:.6g}") if math.isfinite(value) else str(value)


def _gaps(lines: Sequence[Line]) -> str:
  """Returns where values are no numbers; nothing where all are."""
  found = [
    f"{line.name} at step {line.steps[bad][0]:,} ({line.values[bad][0]}), "
    f"{bad.sum()} in all"
    for line in lines
    if (bad := ~np.isfinite(line.values)).any()
  ]
  return f"Not finite: {'; '.join(found)}." if found else ""


def _table(title: str, lines: Sequence[Line]) -> Markup:
  """Returns some of the numbers, evenly spread, for those who read tables."""
  steps = sorted({int(step) for line in lines for step in line.steps})
  count = min(_ROWS, len(steps))
  chosen = [steps[i] for i in np.linspace(0, len(steps) - 1, count).astype(int)]
  values = [
    dict(zip(line.steps.tolist(), line.values.tolist(), strict=True))
    for line in lines
  ]
  rows = [
    [f"{step:,}", *(f"{of[step]:.5g}" if step in of else "" for of in values)]
    for step in chosen
  ]
  return element(
    "details",
    element("summary", f"{title} as a table"),
    table(
      ["step", *(line.name for line in lines)],
      rows,
      caption=f"{title}, at {len(rows)} steps",
    ),
  )
