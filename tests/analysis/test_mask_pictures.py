"""Pictures of masks: their colours, their legend, and the command's files."""

import pathlib
import types

import jax
import numpy as np
import pytest
from PIL import Image

import van_jax
from van_jax import errors, models
from van_jax.analysis import drawing, pictures
from van_jax.analysis.pictures import subject
from van_jax.bundle import save_bundle
from van_jax.data import DensePreprocessing, class_colors
from van_jax.data.images import masks as masks_lib
from van_jax.models.heads import fcn

pytest.importorskip("matplotlib")

COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
NAMES = ("sky", "road", "car")


@pytest.fixture
def mask():
  """Returns a mask of two classes and void, uint8 [4, 6]."""
  numbers = np.full((4, 6), 2, np.uint8)
  numbers[:2], numbers[3] = 0, 255
  return numbers


def test_a_palette_png_has_the_numbers_and_shows_the_colours(mask, tmp_path):
  drawing.palette_image(mask, COLORS).save(tmp_path / "m.png")
  encoded = (tmp_path / "m.png").read_bytes()
  np.testing.assert_array_equal(masks_lib.read(encoded), mask)
  with Image.open(tmp_path / "m.png") as image:
    assert image.mode == "P"
    shown = np.asarray(image.convert("RGB"))
  assert tuple(shown[0, 0]) == COLORS[0]
  assert tuple(shown[2, 0]) == COLORS[2]
  assert tuple(shown[3, 0]) == class_colors.default(256)[255]


def test_an_overlay_blends_colours_and_leaves_what_has_no_class(mask):
  image = np.full((4, 6, 3), 100, np.uint8)
  over = drawing.mask_overlay(image, mask, COLORS, strength=0.5)
  assert over[0, 0].tolist() == [178, 50, 50]  # Halves of 100 and of red.
  assert over[2, 0].tolist() == [50, 50, 178]
  assert over[3, 0].tolist() == [100, 100, 100]


def test_the_legend_has_the_classes_that_are_there(mask):
  image = np.zeros((4, 6, 3), np.uint8)
  wide = np.full((2, 12), 2, np.uint8)
  figure = drawing.masks(
    [image, np.zeros((2, 12, 3), np.uint8)],
    [mask, wide],
    colors=COLORS,
    names=NAMES,
  )
  (legend,) = figure.legends
  texts = [text.get_text() for text in legend.get_texts()]
  assert texts == ["car 62.5%", "sky 25.0%"]  # 30 and 12 of 48.
  faces = [patch.get_facecolor()[:3] for patch in legend.get_patches()]
  assert faces == [(0, 0, 1), (1, 0, 0)]


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"names": NAMES[:2]}, "3 colors as many as 2 names"),
    ({"answers": []}, "1 images, 0 masks"),
    ({"answers": [np.zeros((3, 6), np.uint8)]}, "of one size"),
    ({"answers": [np.zeros((4, 6), int)]}, "must be uint8"),
  ],
)
def test_what_does_not_fit_is_refused(mask, changes, message):
  given = {"answers": [mask], "colors": COLORS, "names": NAMES, **changes}
  with pytest.raises(errors.UserError, match=message):
    drawing.masks([np.zeros((4, 6, 3), np.uint8)], **given)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """Returns a folder with a segmenter's bundle and a photograph."""
  folder = tmp_path_factory.mktemp("masks")
  van = models.VAN(
    (4,) * 4, (1,) * 4, (1,) * 4, num_classes=0, implementation="xla"
  )
  model = models.Segmenter(van, {"name": "fcn", "channels": 4}, None, 3)
  random = np.random.default_rng(0)
  save_bundle(
    folder / "bundle",
    model=model,
    variables=jax.tree.map(
      lambda x: abs(random.standard_normal(x.shape, np.float32)),
      models.variable_shapes(model),
    ),
    preprocessing=DensePreprocessing(scale=(64, 48)),
    labels=NAMES,
    colors=COLORS,
    source={},
  )
  pixels = random.integers(0, 256, (40, 60, 3), np.uint8)
  Image.fromarray(pixels).save(folder / "street.png")
  (folder / "notes.png").write_text("no image")
  return folder


@pytest.fixture
def request_to(place, tmp_path):
  """Returns the request for tmp_path/out.png."""
  return pictures.Request(
    checkpoint=str(place / "bundle"), output=str(tmp_path / "out.png")
  )


def test_the_command_draws_and_writes_the_mask(place, request_to, tmp_path):
  found = pictures.draw_masks(
    request_to,
    image=[str(place / "street.png")],
    mask=str(tmp_path / "mask.png"),
  )
  bundle = van_jax.load_bundle(place / "bundle")
  expected = van_jax.predict(bundle, place / "street.png")
  with Image.open(tmp_path / "mask.png") as image:
    np.testing.assert_array_equal(np.asarray(image), expected)
    palette = image.getpalette() or []
    assert palette[:9] == [*COLORS[0], *COLORS[1], *COLORS[2]]
  parts = np.bincount(expected.ravel(), minlength=3) / expected.size
  assert found["images"] == ["street.png"]
  assert found["classes"] == [
    pytest.approx({n: p for n, p in zip(NAMES, parts, strict=True) if p}, 1e-3)
  ]
  assert (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"mask": "mask.jpg"}, r"mask=.*mask\.jpg must end with \.png"),
    ({"mask": "out.png"}, "is the output too"),
    ({"mask": "mask.png", "twice": True}, "of one image, and there are 2"),
    ({"image": "notes.png"}, r"notes\.png.* read"),
    ({"image": "nothing.png"}, r"nothing\.png cannot be read"),
  ],
)
def test_bad_input_is_a_line_and_no_file(
  place, request_to, tmp_path, options, message
):
  image = str(place / options.get("image", "street.png"))
  mask = options.get("mask")
  with pytest.raises(errors.UserError, match=message) as caught:
    pictures.draw_masks(
      request_to,
      image=[image] * (1 + ("twice" in options)),
      mask=mask and str(tmp_path / mask),
    )
  assert "\n" not in str(caught.value)
  assert list(pathlib.Path(tmp_path).iterdir()) == []


def test_other_pictures_are_not_of_segmenters(place, request_to):
  with pytest.raises(errors.UserError, match="task=segmentation"):
    pictures.draw_attention(request_to, image=[str(place / "street.png")])


def test_a_strangers_heads_are_handed_over(monkeypatch, tmp_path):
  handed = {}

  def load(checkpoint, *, step, **given):
    del checkpoint, step
    handed.update(given)
    van = models.create_model("van_b0", num_classes=0)
    return types.SimpleNamespace(model=models.Segmenter(van, "fpn"))

  monkeypatch.setattr(subject.weights, "load_weights", load)
  monkeypatch.setattr(subject.released, "local_bundle", str)
  request = pictures.Request(
    checkpoint="bundle",
    output=str(tmp_path / "a.png"),
    head=f"{fcn.__name__}:FCNHead",
    auxiliary="fcn",
  )
  request.load_segmenter()
  assert handed == {"head": fcn.FCNHead, "auxiliary": fcn.FCNHead}
