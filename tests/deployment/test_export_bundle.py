"""Exported programs give the bundle's logits, and say how to be fed."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest
from jax import export

import van_jax
from van_jax import data, deployment, errors, models
from van_jax.deployment import export as export_lib

LABELS = ("ant", "bee", "cat", "dog", "eel")
SHOWN = data.Preprocessing(
  image_size=64,
  resize_size=72,
  mean=(0.485, 0.456, 0.406),
  std=(0.229, 0.224, 0.225),
)


def drawn(name: str, shape: tuple[int, ...], rng: Any) -> np.ndarray:
  """Returns weights that let a signal through, and norms that do something."""
  if name in ("scale", "var"):
    return rng.uniform(0.5, 1.5, shape).astype(np.float32)
  if name == "kernel":
    values = rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))
    return values.astype(np.float32)
  return rng.uniform(0.1, 0.5, shape).astype(np.float32)


def bundle_of(**fields: Any) -> van_jax.Bundle:
  """Returns a bundle with weights drawn by a seed."""
  model = van_jax.create_model("van_b0", num_classes=len(LABELS), **fields)
  rng = np.random.default_rng(0)
  variables = jax.tree_util.tree_map_with_path(
    lambda path, leaf: drawn(path[-1].key, leaf.shape, rng),
    models.variable_shapes(model),
  )
  return van_jax.Bundle(model, variables, SHOWN, LABELS, {"format": "test"})


@pytest.fixture(scope="module")
def b0():
  return bundle_of()


@pytest.fixture(scope="module")
def tiny():
  return bundle_of(
    widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), ffn_ratios=(1, 1, 1, 1)
  )


@pytest.fixture(scope="module")
def pixels():
  return np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8)


def normalised(pixels: np.ndarray) -> np.ndarray:
  values = (pixels / 255 - SHOWN.mean) / SHOWN.std
  return values.astype(np.float32)


def logits_of(bundle: van_jax.Bundle, pixels: np.ndarray) -> np.ndarray:
  """Returns the logits by the model itself, with its BatchNorm."""
  model: Any = bundle.model.clone(implementation="xla")
  run = jax.jit(lambda v, x: model.apply(v, x, train=False))
  return np.asarray(run(bundle.variables, normalised(pixels)))


@pytest.fixture(scope="module")
def logits(b0, pixels):
  return logits_of(b0, pixels)


def read(path: pathlib.Path) -> export.Exported:
  return export.deserialize(bytearray(path.read_bytes()))


def load_stablehlo(folder: pathlib.Path) -> Any:
  program = read(folder / "model.stablehlo")
  assert set(program.platforms) == {"cpu", "tpu", "cuda"}
  return program.call


def load_savedmodel(folder: pathlib.Path) -> Any:
  from van_jax.data.tensorflow import tf

  module = tf.saved_model.load(str(folder))
  serve = module.signatures["serving_default"]
  return lambda images: serve(images=tf.constant(images))["logits"].numpy()


def load_onnx(folder: pathlib.Path) -> Any:
  import onnxruntime

  session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
  return lambda images: session.run(["logits"], {"images": images})[0]


LOAD = {
  "stablehlo": load_stablehlo,
  "savedmodel": load_savedmodel,
  "onnx": load_onnx,
}


def assert_close(ours: Any, theirs: np.ndarray) -> None:
  """Asserts equality to rounding: some hundred layers of float32, folded."""
  spread = float(np.std(theirs))
  assert spread > 0.01  # Or all would be equal.
  np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * spread)


@pytest.mark.parametrize("to", deployment.FORMATS)
def test_b0_comes_back_with_its_logits_for_any_batch(
  b0, pixels, logits, tmp_path, to
):
  if to == "onnx":
    pytest.importorskip("jax2onnx")
  deployment.export_bundle(b0, tmp_path / "b0", to=to)
  run = LOAD[to](tmp_path / "b0")
  assert_close(run(pixels), logits)
  assert_close(run(pixels[:1]), logits[:1])


def test_normalised_images_and_batch_norm_are_as_asked_for(
  tiny, pixels, tmp_path
):
  deployment.export_bundle(
    tiny,
    tmp_path / "tiny",
    to="stablehlo",
    preprocessing="none",
    fold_batch_norm=False,
  )
  run = load_stablehlo(tmp_path / "tiny")
  assert_close(run(normalised(pixels)), logits_of(tiny, pixels))
  described = json.loads((tmp_path / "tiny/export.json").read_text())
  assert described["input"]["dtype"] == "float32"
  assert described["in_the_program"] == []
  assert described["batch_norm_folded"] is False


def test_the_folder_says_how_the_program_is_fed(tiny, tmp_path):
  deployment.export_bundle(tiny, tmp_path / "tiny", to="stablehlo")
  assert {path.name for path in (tmp_path / "tiny").iterdir()} == {
    "model.stablehlo",
    "export.json",
  }
  described = json.loads((tmp_path / "tiny/export.json").read_text())
  program = read(tmp_path / "tiny" / described["file"])
  (images,), (outputs,) = program.in_avals, program.out_avals
  assert str(images.shape) == "(batch, 64, 64, 3)"
  assert described["input"]["shape"] == ["batch", *images.shape[1:]]
  assert described["input"]["dtype"] == images.dtype == "uint8"
  assert described["output"] == {
    "name": "logits",
    "shape": ["batch", *outputs.shape[1:]],
    "dtype": outputs.dtype,
  }
  shown = data.Preprocessing.from_json(described["preprocessing"])
  assert shown == SHOWN
  assert described["in_the_program"] == ["mean", "std"]
  assert described["batch_norm_folded"] is True
  assert described["labels"] == list(LABELS)
  assert described["versions"]["jax"] == jax.__version__


def test_a_backbone_is_exported_with_its_features(tiny, tmp_path):
  model = tiny.model.clone(num_classes=0)
  params = {k: v for k, v in tiny.variables["params"].items() if k != "head"}
  backbone = dataclasses.replace(
    tiny,
    model=model,
    variables=tiny.variables | {"params": params},
    labels=None,
  )
  deployment.export_bundle(backbone, tmp_path / "tiny", to="stablehlo")
  described = json.loads((tmp_path / "tiny/export.json").read_text())
  assert described["output"]["name"] == "features"
  assert described["output"]["shape"] == ["batch", 8]
  assert described["labels"] is None


def test_what_is_there_is_replaced_only_when_it_is_an_export(tiny, tmp_path):
  def write(**options):
    deployment.export_bundle(tiny, tmp_path / "x", to="stablehlo", **options)

  write()
  with pytest.raises(errors.UserError, match=r"exists already; .*--overwrite"):
    write()
  write(overwrite=True, preprocessing="none")
  assert "float32" in (tmp_path / "x/export.json").read_text()
  (tmp_path / "x/export.json").unlink()
  with pytest.raises(errors.UserError, match="is not an exported bundle"):
    write(overwrite=True)
  assert (tmp_path / "x/model.stablehlo").exists()


def test_a_writer_that_fails_leaves_nothing(tiny, tmp_path, monkeypatch):
  def fail(program, folder):
    (folder / "half").write_text("")
    raise RuntimeError

  row = dataclasses.replace(deployment.FORMATS["stablehlo"], write=fail)
  monkeypatch.setitem(deployment.FORMATS, "stablehlo", row)
  with pytest.raises(RuntimeError):
    deployment.export_bundle(tiny, tmp_path / "x", to="stablehlo")
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ("options", "said"),
  [
    ({"to": "stablehlow"}, r"to='stablehlow' is no format; .*stablehlo"),
    (
      {"to": "stablehlo", "preprocessing": "some"},
      "preprocessing='some' must be included",
    ),
  ],
)
def test_what_cannot_be_is_refused_in_one_line(tiny, tmp_path, options, said):
  with pytest.raises(errors.UserError, match=said):
    deployment.export_bundle(tiny, tmp_path / "x", **options)


@pytest.mark.parametrize("name", ["b0.onnx", "b0.stablehlo", "b0.pb"])
def test_a_folder_that_is_called_as_a_file_is_refused(tmp_path, name):
  with pytest.raises(errors.UserError, match=r"a folder .* gets model\.stable"):
    export_lib.check(tmp_path / name, to="stablehlo", overwrite=False)
  export_lib.check(tmp_path / "van.b0", to="stablehlo", overwrite=False)


def test_without_the_converter_its_installation_is_named(
  tiny, tmp_path, monkeypatch
):
  monkeypatch.setitem(sys.modules, "jax2onnx", None)
  with pytest.raises(
    errors.UserError, match=r'pip install "van_jax\[export\]"'
  ):
    deployment.export_bundle(tiny, tmp_path / "x", to="onnx")
  assert not list(tmp_path.iterdir())


def test_weights_that_no_file_holds_are_refused(tiny, tmp_path, monkeypatch):
  monkeypatch.setattr("van_jax.deployment.program._LIMIT", 10)
  with pytest.raises(errors.UserError, match="keep the bundle"):
    deployment.export_bundle(tiny, tmp_path / "x", to="stablehlo")


def test_the_command_exports_a_bundle_at_another_size(tiny, tmp_path):
  fields = {f.name: getattr(tiny, f.name) for f in dataclasses.fields(tiny)}
  van_jax.save_bundle(tmp_path / "bundle", **fields)
  command = [sys.executable, "-m", "van_jax.export", "--format=stablehlo"]
  process = subprocess.run(
    [
      *command,
      f"--checkpoint={tmp_path}/bundle",
      f"--output={tmp_path}/out",
      "--image_size=96",
      "--crop_pct=1.0",
    ],
    capture_output=True,
    text=True,
    env=os.environ,
  )
  assert process.returncode == 0, process.stderr
  result = json.loads(process.stdout)
  assert result == {"output": f"{tmp_path}/out", "format": "stablehlo"}
  described = json.loads((tmp_path / "out/export.json").read_text())
  assert described["input"]["shape"] == ["batch", 96, 96, 3]
  assert described["preprocessing"]["resize_size"] == 96
