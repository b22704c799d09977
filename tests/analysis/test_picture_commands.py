"""The commands that draw: from a bundle and photographs to a file."""

import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

import van_jax
from van_jax import analysis, errors, models
from van_jax.analysis import pictures
from van_jax.bundle import Bundle, save_bundle
from van_jax.data import Preprocessing

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """Returns a folder with a bundle, and a folder of two photographs."""
  folder = tmp_path_factory.mktemp("pictures")
  model = models.VAN(
    (4,) * 4, (1, 2, 1, 1), (1,) * 4, num_classes=3, implementation="xla"
  )
  generator = np.random.default_rng(0)
  variables = jax.tree.map(
    lambda x: abs(generator.standard_normal(x.shape, np.float32)),
    models.variable_shapes(model),
  )
  bundle = Bundle(
    model=model,
    variables=variables,
    preprocessing=Preprocessing(image_size=32, resize_size=36),
    labels=("tench, Tinca", "cat", "dog"),
    source={},
  )
  save_bundle(bundle, folder / "bundle")
  (folder / "images").mkdir()
  for name in ("b.png", "a.jpg"):
    pixels = generator.integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "images" / name)
  (folder / "images" / "notes.txt").write_text("no image")
  return folder


@pytest.fixture
def request_to(place, tmp_path):
  """Returns a function from a request's other fields to the request."""

  def make(**fields):
    options = {"output": str(tmp_path / "out.png"), **fields}
    return pictures.Request(checkpoint=str(place / "bundle"), **options)

  return make


def test_attention_draws_a_row_an_image(place, request_to):
  found = pictures.draw_attention(request_to(), image=[str(place / "images")])
  assert found["images"] == ["a.jpg", "b.png"]
  last = ["stage1/block0", "stage2/block1", "stage3/block0", "stage4/block0"]
  assert found["blocks"] == last
  with Image.open(found["output"]) as drawn:
    width, height = drawn.size
  assert 2 < width / height < 2.5  # Five columns, two rows.


def test_blocks_are_drawn_as_asked(place, request_to):
  found = pictures.draw_attention(
    request_to(), image=[str(place / "images/b.png")], block=["stage2/block0"]
  )
  assert found["blocks"] == ["stage2/block0"]
  assert found["images"] == ["b.png"]


def test_gradcam_names_classes_and_their_probabilities(place, request_to):
  bundle = van_jax.load_bundle(place / "bundle")
  image = str(place / "images/a.jpg")
  best = van_jax.predict(bundle, image)
  found = pictures.draw_grad_cam(request_to(), image=[image])
  likeliest = best[0].label.split(",")[0]
  assert found["classes"] == [[f"{likeliest} {best[0].probability:.0%}"]]
  given = pictures.draw_grad_cam(
    request_to(overwrite=True), image=[image], classes=["Tinca", "2"]
  )
  chances = {answer.index: answer.probability for answer in best}
  names = [f"tench {chances[0]:.0%}", f"dog {chances[2]:.0%}"]
  assert given["classes"] == [names]


def test_receptive_field_says_its_size(place, request_to):
  found = pictures.draw_receptive_field(
    request_to(image_size=96), block="stage1/block0"
  )
  assert (found["height"], found["width"], found["images"]) == (23, 23, 8)
  assert 0 < found["area"] <= 23 * 23


def test_kernels_are_of_the_strongest_channels(place, request_to):
  found = pictures.draw_kernels(
    request_to(), image=[str(place / "images")], block="stage2/block1", count=3
  )
  assert len(set(found["channels"])) == 3
  bundle = van_jax.load_bundle(place / "bundle")
  assert found["channels"][0] in range(bundle.model.widths[1])


@pytest.mark.parametrize(
  ("draw", "options", "message"),
  [
    (pictures.draw_attention, {"block": ["stage5/block0"]}, "stage5/block0"),
    (pictures.draw_attention, {"image": []}, "image is missing"),
    (pictures.draw_grad_cam, {"classes": ["cow"]}, "'cow' is no class"),
    (pictures.draw_grad_cam, {"classes": ["3"]}, "0 to 2"),
    (pictures.draw_attention, {"count": 0}, "count=0"),
  ],
)
def test_bad_input_is_an_error_and_no_file(
  draw, options, message, place, request_to
):
  given = {"image": [str(place / "images")], **options}
  request = request_to()
  with pytest.raises(errors.UserError, match=message):
    draw(request, **given)
  assert not pathlib.Path(request.output).exists()


def test_what_is_there_is_kept_before_anything_is_read(request_to, tmp_path):
  (tmp_path / "out.png").write_bytes(b"mine")
  request = request_to()
  with pytest.raises(errors.UserError, match="--overwrite"):
    request.load()


def test_folders_without_images_are_named(request_to, tmp_path):
  with pytest.raises(errors.UserError, match="folder without images"):
    pictures.draw_attention(request_to(), image=[str(tmp_path)])


def run(module, *flags):
  command = [sys.executable, "-m", f"van_jax.analysis.{module}", *flags]
  return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_command_ends_with_a_line_of_json(place, tmp_path):
  output = tmp_path / "kernels.svg"
  done = run(
    "kernels",
    f"--checkpoint={place / 'bundle'}",
    f"--output={output}",
    "--block=stage1/block0",
    "--count=2",
  )
  assert done.returncode == 0, done.stderr
  assert json.loads(done.stdout.splitlines()[-1]) == {
    "output": str(output),
    "block": "stage1/block0",
    "channels": [0, 1],
  }
  assert output.read_text().startswith("<?xml")


@pytest.mark.parametrize("module", ["attention", "gradcam", "receptive_field"])
def test_commands_answer_a_bad_flag_in_one_line(module, place, tmp_path):
  done = run(
    module,
    f"--checkpoint={place / 'bundle'}",
    f"--output={tmp_path / 'x.png'}",
    f"--image={place / 'images'}",
    "--blok=stage1/block0",
  )
  assert done.returncode == 1
  assert done.stderr.startswith("error: ")
  assert "blok" in done.stderr
  assert done.stderr.count("\n") == 1


def test_the_functions_of_a_commands_name_are_functions():
  assert callable(analysis.receptive_field)
