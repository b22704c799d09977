"""Pictures: what they show of the numbers, and how they are written."""

import numpy as np
import pytest
from PIL import Image

from van_jax import analysis, errors
from van_jax.analysis import drawing
from van_jax.analysis.drawing import canvas

pytest.importorskip("matplotlib")


@pytest.fixture
def photograph():
  """Returns a grey ramp, uint8 [16, 16, 3]."""
  ramp = np.arange(0, 256, 16, dtype=np.uint8)
  return np.broadcast_to(ramp[:, None, None], (16, 16, 3))


def test_an_overlay_leaves_what_is_cold_and_covers_what_is_hot(photograph):
  heat = np.zeros((16, 16), np.float32)
  heat[3, 5] = 1
  over = drawing.overlay(photograph, heat, strength=1.0)
  hottest = np.round(255 * canvas.colours("inferno", 1.0))
  np.testing.assert_array_equal(over[3, 5], hottest)
  over[3, 5] = photograph[3, 5]
  np.testing.assert_array_equal(over, photograph)


def test_a_signed_overlay_is_red_for_more_and_blue_for_less(photograph):
  heat = np.zeros((16, 16), np.float32)
  heat[3, 5], heat[4, 6] = 0.02, -0.02
  over = drawing.signed_overlay(photograph, heat, strength=1.0)
  assert over[3, 5, 0] > over[3, 5, 2]
  assert over[4, 6, 0] < over[4, 6, 2]
  np.testing.assert_array_equal(over[0], photograph[0])


def test_maps_of_another_size_are_refused(photograph):
  with pytest.raises(errors.UserError, match="upsample"):
    drawing.overlay(photograph, np.zeros((8, 8)))


FIGURES = {
  "grid": lambda: drawing.grid(
    [[np.zeros((4, 4, 3))] * 2] * 2,
    columns=["image", "map"],
    captions=[["a", "b"], ["c", "d"]],
  ),
  "receptive_field": lambda: drawing.receptive_field(
    np.eye(9), (0, 8, 0, 8), title="stage 1"
  ),
  "kernels": lambda: drawing.kernels(
    {"conv0": np.ones((5, 5, 9)), "conv1": np.zeros((1, 7, 9))}
  ),
  "confusion": lambda: drawing.confusion_matrix(np.eye(3, dtype=np.int64)),
  "bars": lambda: drawing.bars({"one": [1, 2, 3], "two": 2.5}, label="top-1"),
  "curves": lambda: drawing.curves({"a": ([1, 2], [[3, 4], [5, 4]])}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_written_as_pictures(name, tmp_path):
  path = tmp_path / "new" / "picture.png"
  drawing.save(FIGURES[name](), path)
  with Image.open(path) as image:
    assert min(image.size) > 90
    assert len(image.convert("RGB").getcolors(1 << 20) or []) > 2


def test_dots_and_bars_are_at_the_mean_of_several():
  (axis,) = drawing.bars({"one": [1, 2, 3], "two": 2.5}).axes
  points = [line.get_xdata() for line in axis.lines]
  means = {float(x[0]) for x in points if len(x) == 1}
  assert {2, 2.5} <= means
  names = [label.get_text() for label in axis.get_yticklabels()]
  assert names == ["one", "two"]


def test_cells_of_a_confusion_matrix_have_their_counts():
  matrix = np.array([[5, 1], [0, 3]])
  axis = drawing.confusion_matrix(matrix, ["cat", "dog"]).axes[0]
  texts = {text.get_position(): text.get_text() for text in axis.texts}
  assert texts == {(0, 0): "5", (1, 0): "1", (1, 1): "3"}
  assert axis.get_ylabel() == "true"
  shown = axis.images[0].get_array()
  np.testing.assert_allclose(shown, [[5 / 6, 1 / 6], [0, 1]])


def test_what_two_in_a_hundred_are_taken_for_is_seen_among_many_classes():
  matrix = 50 * np.eye(40, dtype=np.int64)
  matrix[3, 5] = 1
  (image,) = drawing.confusion_matrix(matrix).axes[0].images
  colours = image.to_rgba(image.get_array())
  assert np.abs(colours[3, 5] - colours[3, 6]).max() > 0.1  # Of [0, 1].


def test_the_box_of_a_field_is_around_its_extent():
  found = analysis.Extent(2, 5, 1, 7, area=20, fraction=0.95)
  axis = drawing.receptive_field(np.eye(9), found).axes[0]
  (box,) = axis.patches
  assert box.get_xy() == (0.5, 1.5)
  assert (box.get_width(), box.get_height()) == (7, 4)


@pytest.mark.parametrize(
  ("box", "caption"),
  [
    ((1, 3, 1, 7), "3 rows x 7 columns not zero"),
    ((1, 4, 1, 7), "4 rows x 7 columns not zero, cut off at the edge"),
    ((1, 3, 0, 7), "3 rows x 8 columns not zero, cut off at the edge"),
  ],
)
def test_a_field_says_whether_the_image_ends_it(box, caption):
  figure = drawing.receptive_field(np.ones((5, 9)), box, unit="position")
  heat, profile = figure.axes[:2]
  assert heat.get_xlabel() == caption
  assert profile.get_xlabel() == "position"


def test_no_two_curves_look_alike():
  axis = drawing.curves({f"{i}": ([1, 2], [i, i]) for i in range(40)}).axes[0]
  looks = {(line.get_color(), line.get_linestyle()) for line in axis.lines}
  assert len(looks) == 40


def test_kernels_that_are_rows_leave_no_gaps():
  squares, rows = np.ones((7, 7, 4)), np.ones((1, 7, 4))
  heights = [
    drawing.kernels({"conv": kernels}).get_size_inches()[1]
    for kernels in (squares, rows)
  ]
  assert heights[1] < heights[0] - 0.5


GREY = np.zeros((4, 4, 3), np.uint8)
REFUSED = {
  "a map of NaNs": (
    lambda: drawing.overlay(GREY, np.full((4, 4), np.nan)),
    "NaN",
  ),
  "a strength above 1": (
    lambda: drawing.signed_overlay(GREY, np.eye(4), strength=2.0),
    "strength=2.0",
  ),
  "a normalised image": (
    lambda: drawing.grid([[np.full((4, 4, 3), -1.0)]]),
    r"images \* std \+ mean",
  ),
  "a batch as a picture": (lambda: drawing.grid([[GREY[None]]]), r"\[H, W\]"),
  "no kernels": (lambda: drawing.kernels({}), r"one \[h, w, C\]"),
  "a kernel of one channel": (
    lambda: drawing.kernels({"conv0": np.eye(3)}),
    r"'conv0': \(3, 3\)",
  ),
  "names of other classes": (
    lambda: drawing.confusion_matrix(np.eye(3, dtype=int), ["cat"]),
    "1 names",
  ),
  "no matrix": (
    lambda: drawing.confusion_matrix(np.zeros((2, 3), int)),
    r"\(2, 3\)",
  ),
  "a field of NaNs": (
    lambda: drawing.receptive_field(np.full((4, 4), np.nan), (0, 1, 2, 3)),
    "NaN",
  ),
  "no bars": (lambda: drawing.bars({}), "values is empty"),
  "a bar of nothing": (lambda: drawing.bars({"a": []}), r"values\['a'\]"),
  "no curves": (lambda: drawing.curves({}), "series is empty"),
  "a curve of other lengths": (
    lambda: drawing.curves({"a": ([1, 2], [1, 2, 3])}),
    r"x \(2,\) and y \(3,\)",
  ),
}


@pytest.mark.parametrize("given", REFUSED)
def test_what_has_no_picture_is_refused(given):
  draw, message = REFUSED[given]
  with pytest.raises(errors.UserError, match=message):
    draw()


@pytest.mark.parametrize("name", ["picture.bmp", "picture", ""])
def test_names_that_say_no_kind_are_refused(name, tmp_path):
  with pytest.raises(errors.UserError, match=r"\.png or \.svg or \.pdf"):
    drawing.save(FIGURES["bars"](), tmp_path / f"x{name}")


def test_what_is_there_is_replaced_only_when_allowed(tmp_path):
  path = tmp_path / "a.png"
  path.write_bytes(b"mine")
  with pytest.raises(errors.UserError, match="--overwrite"):
    canvas.check_output(str(path))
  canvas.check_output(str(path), overwrite=True)
  assert path.read_bytes() == b"mine"
