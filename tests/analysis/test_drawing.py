"""Pictures: what they show of the numbers, and how they are written."""

import numpy as np
import pytest
from PIL import Image

from van_jax import errors
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


def test_the_box_of_a_field_is_around_its_extent():
  axis = drawing.receptive_field(np.eye(9), (2, 5, 1, 7)).axes[0]
  (box,) = axis.patches
  assert box.get_xy() == (0.5, 1.5)
  assert (box.get_width(), box.get_height()) == (7, 4)


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
