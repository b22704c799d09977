"""The commands that draw: from a bundle and photographs to a file."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

import van_jax
from van_jax import errors, models
from van_jax.analysis import pictures
from van_jax.analysis.inside.attention_maps import channel_strengths
from van_jax.bundle import save_bundle
from van_jax.data import Preprocessing, preprocess_image

pytest.importorskip("matplotlib")

ROOT = pathlib.Path(__file__).parents[2]


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
  save_bundle(
    folder / "bundle",
    model=model,
    variables=variables,
    preprocessing=Preprocessing(image_size=32, resize_size=36),
    labels=("tench, Tinca", "cat", "dog"),
    source={},
  )
  (folder / "images").mkdir()
  for name in ("b.png", "a.jpg"):
    pixels = generator.integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "images" / name)
  (folder / "images" / "notes.txt").write_text("no image")
  return folder


# Runs commands one after the other in one process, which begins once: each
# with flags of its own, which absl would otherwise take for defined twice.
PROGRAM = """
import json, runpy, sys
from absl import app, flags

app.define_help_flags()
from van_jax.cli import command

before = set(flags.FLAGS)
for module, arguments in json.loads(sys.argv[1]):
  sys.argv = [module, *arguments]
  try:
    runpy.run_module(f"van_jax.analysis.{module}", run_name="__main__")
  except SystemExit as end:
    print(json.dumps({"status": end.code}), flush=True)
  for name in set(flags.FLAGS) - before:
    delattr(flags.FLAGS, name)
"""


@pytest.fixture(scope="module")
def drawn(place):
  """Returns what each command printed last, and its exit status."""
  flags = {
    "attention": ["--image=images", "--block=stage2/block1"],
    "gradcam": ["--image=images/a.jpg", "--classes=Tinca", "--classes=2"],
    "receptive_field": ["--block=stage1/block0", "--image_size=96"],
    "kernels": ["--image=images", "--block=stage2/block1", "--count=3"],
  }
  commands = [
    [name, ["--checkpoint=bundle", f"--output={name}.png", *own]]
    for name, own in flags.items()
  ]
  commands.append(["kernels", ["--checkpoint=x", "--output=x.png", "--blok=1"]])
  masks = ["--checkpoint=bundle", "--image=images/a.jpg", "--output=m.png"]
  commands.append(["masks", masks])
  done = subprocess.run(
    [sys.executable, "-c", PROGRAM, json.dumps(commands)],
    capture_output=True,
    text=True,
    check=False,
    cwd=place,
    env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
  )
  lines = [json.loads(line) for line in done.stdout.splitlines()]
  results = [line for line in lines if "status" not in line]
  assert len(results) == len(flags), done.stderr
  statuses = [line["status"] for line in lines if "status" in line]
  return dict(zip(flags, results, strict=True)), statuses, done.stderr


def test_commands_end_well_or_with_a_line_about_the_flag(drawn):
  _, statuses, complaints = drawn
  assert [status or 0 for status in statuses] == [0, 0, 0, 0, 1, 1]
  assert "error: Unknown command line flag 'blok'" in complaints
  assert "checkpoint=bundle holds no segmenter" in complaints


def test_attention_draws_a_row_an_image(drawn, place):
  found = drawn[0]["attention"]
  assert found["images"] == ["a.jpg", "b.png"]
  assert found["blocks"] == ["stage2/block1"]
  assert found["positions"] == {"stage2/block1": [4, 4]}
  with Image.open(place / found["output"]) as picture:
    width, height = picture.size
  assert 0.8 < width / height < 1  # Two columns, two rows, captions.


def test_gradcam_names_classes_and_their_probabilities(drawn, place):
  bundle = van_jax.load_bundle(place / "bundle")
  answers = van_jax.predict(bundle, place / "images/a.jpg")
  chances = {answer.index: answer.probability for answer in answers}
  names = [f"tench {chances[0]:.0%}", f"dog {chances[2]:.0%}"]
  assert drawn[0]["gradcam"]["classes"] == [names]
  # A map of one position is even, whatever the network has learnt.
  assert drawn[0]["gradcam"]["positions"] == [1, 1]
  assert (place / "gradcam.png").exists()


def test_receptive_field_says_its_size(drawn):
  found = drawn[0]["receptive_field"]
  # 24 positions of stage 1, the centre of which is 12: all of 23 are there.
  assert (found["height"], found["width"], found["images"]) == (23, 23, 8)
  assert 0 < found["area"] <= 23 * 23


def test_kernels_are_of_the_channels_that_are_strongest_on_the_image(
  drawn, place
):
  found = drawn[0]["kernels"]["channels"]
  bundle = van_jax.load_bundle(place / "bundle")
  names = [place / "images/a.jpg", place / "images/b.png"]
  pixels = [preprocess_image(name, bundle.preprocessing) for name in names]
  images = (np.stack(pixels) / np.float32(255) - 0.5) / 0.5
  strengths = channel_strengths(
    bundle.model, bundle.variables, images, block="stage2/block1"
  )
  assert found == np.argsort(-strengths)[:3].tolist()


@pytest.fixture
def request_to(place, tmp_path):
  """Returns a function from a request's other fields to the request."""

  def make(**fields):
    options = {"output": str(tmp_path / "out.png"), **fields}
    return pictures.Request(checkpoint=str(place / "bundle"), **options)

  return make


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


def test_features_have_no_classes_to_name(place, tmp_path):
  bundle = van_jax.load_bundle(place / "bundle", num_classes=0)
  save_bundle(
    tmp_path / "features",
    model=bundle.model,
    variables=bundle.variables,
    preprocessing=bundle.preprocessing,
    source={},
  )
  request = pictures.Request(
    checkpoint=str(tmp_path / "features"), output=str(tmp_path / "out.png")
  )
  with pytest.raises(errors.UserError, match="num_classes=0"):
    pictures.draw_grad_cam(request, image=["x.jpg"], classes=["1"])


def test_folders_without_images_are_named(request_to, tmp_path):
  with pytest.raises(errors.UserError, match="folder without images"):
    pictures.draw_attention(request_to(), image=[str(tmp_path)])


def test_commands_may_be_imported_and_leave_the_functions_of_their_names():
  program = """
import importlib, van_jax
from van_jax import analysis
before = van_jax.sweep, analysis.receptive_field
importlib.import_module("van_jax.sweep")
# All of them define --checkpoint when they are run.
for name in ("attention", "gradcam", "kernels", "masks", "receptive_field"):
  importlib.import_module(f"van_jax.analysis.{name}")
assert before == (van_jax.sweep, analysis.receptive_field)
"""
  subprocess.run([sys.executable, "-c", program], check=True)
