"""Charts: points against closed forms, thinning, axes, colours."""

import itertools
import json
import math
import re

import numpy as np
import pytest

from van_jax.analysis.report import axes, charts, palette
from van_jax.analysis.report.axes import Axis


def line(values, steps=None, run=0, name="a"):
  steps = range(len(values)) if steps is None else steps
  return charts.Line(run, name, np.array(steps), np.array(values, float))


def points(path):
  return [
    tuple(map(float, pair))
    for pair in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path)
  ]


def test_points_of_a_linear_axis_are_in_proportion():
  x, y = Axis(low=0, high=10), Axis(low=0, high=4)
  path = charts.path(line([0, 1, 4], steps=[0, 5, 10]), x, y)
  assert points(path) == [(0, 1000), (500, 750), (1000, 0)]


def test_points_of_a_logarithmic_axis_are_by_their_ratios():
  x, y = Axis(low=0, high=2), Axis(low=0.01, high=100, log=True)
  path = charts.path(line([0.01, 1, 100]), x, y)
  assert points(path) == [(0, 1000), (500, 500), (1000, 0)]


def test_what_is_not_finite_is_a_gap():
  x, y = Axis(low=0, high=4), Axis(low=0, high=4)
  path = charts.path(line([0, 1, math.nan, math.inf, 4]), x, y)
  assert path.count("M") == 2
  assert points(path) == [(0, 1000), (250, 750), (1000, 0)]


def test_a_single_point_is_drawn():
  chart = charts.chart("Loss", [line([0.5], steps=[7])], last_step=14)
  assert chart.count('d="M500.0 500.0h0"') == 2  # A line and its dot.


def test_a_chart_says_what_its_axes_are():
  even, wide = (
    charts.chart("Loss", [line(v)], last_step=1, may_be_log=True)
    for v in ([1, 2], [1, 100])
  )
  assert "Loss<small> by step</small>" in even
  assert "Loss<small> by step, logarithmic</small>" in wide


def test_each_point_of_a_short_line_has_a_dot():
  x, y = Axis(low=0, high=2), Axis(low=0, high=4)
  short = line([0, math.nan, 4])
  assert charts.dots(short, x, y) == "M0.0 1000.0h0M1000.0 0.0h0"


def test_a_log_axis_is_taken_where_values_span_a_factor_of_ten():
  assert axes.of_values([1, 10], may_be_log=True).log
  assert not axes.of_values([1, 9], may_be_log=True).log
  assert not axes.of_values([0, 10], may_be_log=True).log
  assert not axes.of_values([1, 10]).log


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
  ("low", "high"), [(1e-6, 1e-3), (0.1, 2.3), (3, 1e6), (2.30, 2.31)]
)
def test_ticks_are_few_ascending_and_within(low, high, log):
  axis = axes.of_values([low, high], may_be_log=log)
  ticks = axis.ticks()
  assert ticks == sorted(set(ticks))
  assert 2 <= len(ticks) <= 10
  assert all(0 <= axis.place(tick) <= 1 for tick in ticks)
  assert len({axes.label(tick) for tick in ticks}) == len(ticks)


@pytest.mark.parametrize(
  "values", [[], [math.nan], [0, 0], [5, 5], [1e-300], [1e308, -1e308]]
)
def test_any_values_have_an_axis(values):
  axis = axes.of_values(values, may_be_log=True)
  assert axis.low < axis.high
  assert axis.ticks()


def test_thinning_keeps_every_extreme_and_the_ends():
  values = np.random.default_rng(0).normal(size=20_000)
  values[7_777], values[12_345] = 50.0, -50.0
  values[15_000] = math.nan
  long = line(values)
  thin = charts.thin(long)
  assert len(thin.steps) <= charts.POINTS + 3  # The ends and a gap.
  assert {0, 7_777, 12_345, 15_000, 19_999} <= set(thin.steps.tolist())
  assert (np.diff(thin.steps) > 0).all()
  np.testing.assert_array_equal(thin.values, values[thin.steps])


def test_short_lines_stay_as_they_are():
  short = line(range(charts.POINTS))
  assert charts.thin(short) is short


def test_a_chart_says_its_numbers_in_json_and_in_a_table(tree):
  lines = [line([1, 2.5], [10, 20]), line([3, 4], [10, 30], run=1, name="<b>")]
  text = charts.chart("Loss", lines, last_step=30)
  page = tree(text)
  (said,) = re.findall(r'<script type="application/json">(.*?)</script>', text)
  numbers = json.loads(said)
  assert [entry["values"] for entry in numbers["lines"]] == [[1, 2.5], [3, 4]]
  assert page.rows == [
    ["step", "a", "<b>"],
    ["10", "1", "3"],
    ["20", "2.5", ""],
    ["30", "", "4"],
  ]


def test_a_chart_says_where_its_values_are_no_numbers(tree):
  page = tree(
    charts.chart("Loss", [line([1, math.nan, math.nan])], last_step=2)
  )
  assert "Not finite: a at step 1 (nan), 2 in all." in page.text


def test_lines_of_thirty_runs_differ_in_colour_or_dash():
  looks = {(palette.colour(run), palette.dash(run)) for run in range(30)}
  assert len(looks) == 30
  assert all(palette.dash(run) == "none" for run in range(6))
  assert palette.dash(6) != "none"


def linear(colour):
  parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
  return np.array(
    [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
  )


def luminance(colour):
  return linear(colour) @ [0.2126, 0.7152, 0.0722]


# Of linear RGB: eyes without the L, the M or the S cone, by Machado, Oliveira
# and Fernandes (2009), severity 1; and eyes with all three.
SIGHTS = {
  "protanopia": [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  "deuteranopia": [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
  ],
  "tritanopia": [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.303900],
  ],
  "trichromacy": np.eye(3).tolist(),
}
TO_XYZ = [
  [0.4124564, 0.3575761, 0.1804375],
  [0.2126729, 0.7151522, 0.0721750],
  [0.0193339, 0.1191920, 0.9503041],
]


def lab(colour, sight):
  xyz = np.array(TO_XYZ) @ np.clip(SIGHTS[sight] @ linear(colour), 0, 1)
  white = np.array(TO_XYZ).sum(axis=1)
  x, y, z = np.cbrt(np.maximum(xyz / white, 0.008856))
  return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK])
def test_colours_differ_for_every_sight(colours, sight):
  # 2.3 is just noticeable side by side; thin lines apart need far more.
  for one, other in itertools.combinations(colours, 2):
    assert np.linalg.norm(lab(one, sight) - lab(other, sight)) > 15, (
      one,
      other,
    )


@pytest.mark.parametrize(
  ("colours", "page"),
  [
    (palette.LIGHT, palette.LIGHT_PAGE),
    (palette.DARK, palette.DARK_PAGE),
  ],
)
def test_lines_stand_out_from_the_page(colours, page):
  for colour in colours:
    light, dark = sorted([luminance(colour), luminance(page)], reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3  # WCAG 2.1, 1.4.11.
