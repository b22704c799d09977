"""Bars with their spread, and curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.analysis.drawing import canvas

_COLOUR = "#1f5fa8"
_COLOURS = 10  # Of curves, before matplotlib begins again.
_STYLES = ("-", "--", ":", "-.")


def bars(
  values: Mapping[str, Any], *, label: str = "", zero: bool = False
) -> Any:
  """Returns a Figure of a bar for each name, from above in the order given.

  Args:
    values: a number each, or several (of seeds, say), which are drawn as dots
      with their mean as the bar and their standard deviation as its error.
    label: of the axis.
    zero: whether the axis begins at 0; otherwise a little below the smallest,
      and dots stand in for bars, whose length would mislead.

  Raises:
    UserError: if there is none, or a name has no numbers.
  """
  for name, single in values.items():
    if np.ndim(single) > 1 or not np.size(single):
      raise errors.UserError(
        f"values[{name!r}]={single!r} must be a number, or some."
      )
  _check_any(values, "values")
  figure = canvas.figure(6.4, 0.34 * len(values) + 0.9)
  axis = figure.subplots()
  for i, single in enumerate(values.values()):
    several = np.atleast_1d(np.asarray(single, float))
    mean = several.mean()
    spread = several.std(ddof=1) if len(several) > 1 else None
    if zero:
      axis.barh(i, mean, height=0.7, color=_COLOUR, alpha=0.85)
    axis.errorbar(
      mean,
      i,
      xerr=spread,
      fmt="o",
      color="black" if zero else _COLOUR,
      markersize=4 if zero else 6,
      capsize=3,
    )
    if len(several) > 1:
      axis.plot(several, [i] * len(several), "|", color="#777777", markersize=9)
  names = [canvas.shortened(name, 32) for name in values]
  axis.set_yticks(range(len(values)), names, fontsize=8)
  axis.set_ylim(len(values) - 0.5, -0.5)  # The first one above.
  axis.set_xlabel(label, fontsize=8)
  axis.tick_params(axis="x", labelsize=7)
  axis.grid(axis="x", alpha=0.3)
  axis.spines[["top", "right"]].set_visible(False)
  return figure


def curves(
  series: Mapping[str, tuple[Sequence[float], Any]],
  *,
  x_label: str = "",
  y_label: str = "",
  logarithmic: bool = False,
) -> Any:
  """Returns a Figure of a curve for each name.

  Args:
    series: (x [N], y [N]) each; or y [S, N] of several seeds, whose mean is the
      curve, in a band of one standard deviation.
    x_label: of the axis.
    y_label: likewise.
    logarithmic: whether the y axis is.

  Raises:
    UserError: if there is none, or some x and y are not as long.
  """
  for name, (x, y) in series.items():
    if np.ndim(y) not in (1, 2) or np.shape(x) != np.shape(y)[-1:]:
      raise errors.UserError(
        f"series[{name!r}] has x {np.shape(x)} and y {np.shape(y)}, which must "
        "be [N] and [N] or [S, N]."
      )
  _check_any(series, "series")
  figure = canvas.figure(6.4, 3.8)
  axis = figure.subplots()
  for i, (name, (x, y)) in enumerate(series.items()):
    several = np.atleast_2d(np.asarray(y, float))
    mean = several.mean(0)
    style = _STYLES[i // _COLOURS % len(_STYLES)]
    (line,) = axis.plot(x, mean, style, label=canvas.shortened(name, 32))
    if len(several) > 1:
      spread = several.std(0, ddof=1)
      axis.fill_between(
        x,
        mean - spread,
        mean + spread,
        color=line.get_color(),
        alpha=0.2,
        linewidth=0,
      )
  if logarithmic:
    axis.set_yscale("log")
  axis.set_xlabel(x_label, fontsize=8)
  axis.set_ylabel(y_label, fontsize=8)
  axis.tick_params(which="both", labelsize=7)
  axis.grid(alpha=0.3)
  axis.spines[["top", "right"]].set_visible(False)
  if len(series) > 1:
    axis.legend(fontsize=7, frameon=False)
  return figure


def _check_any(given: Mapping[str, Any], name: str) -> None:
  if not given:
    raise errors.UserError(f"{name} is empty; there is nothing to draw.")
