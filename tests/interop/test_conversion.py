"""A file becomes a bundle with all that belongs to the weights, or nothing."""

import dataclasses
import hashlib
import json
import pathlib
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import published_files as published
import pytest
import torch

import van_jax
from van_jax import models
from van_jax.interop import convert as conversion
from van_jax.interop.facts import imagenet, published_preprocessing

ROOT = pathlib.Path(__file__).parents[2]
HALF = published_preprocessing.HALF
IMAGENET = published_preprocessing.IMAGENET


@pytest.fixture
def file(tmp_path):
  """Returns the path of a sound official file."""
  path = tmp_path / "weights.pth.tar"
  published.write_official(path, published.official())
  return path


def contents(folder):
  return {p: p.is_file() and p.read_bytes() for p in folder.rglob("*")}


def thin(name, classes=1000):
  """Returns the shapes of a published variant, which only look like it."""
  row = models.VARIANTS[name]
  return published.official(
    published.Size(row.widths, row.depths, row.ffn_ratios, classes), empty=True
  )


def test_a_bundle_remembers_its_source(file, tmp_path):
  conversion.convert(input=file, output=tmp_path / "bundle")
  source = van_jax.load_bundle(tmp_path / "bundle").source
  digest = hashlib.sha256(file.read_bytes()).hexdigest()
  assert source["sha256"] == digest
  assert source["file"] == "weights.pth.tar"
  assert source["format"] == "official"
  assert source["place"] == "state_dict"


def test_logits_are_those_of_the_weights_as_read(file, tmp_path):
  conversion.convert(input=file, output=tmp_path / "bundle")
  bundle = van_jax.load_bundle(tmp_path / "bundle")
  images = jax.random.normal(jax.random.key(0), (1, 32, 32, 3))
  direct = conversion.read_weights(file)
  run = jax.jit(bundle.model.apply)
  np.testing.assert_array_equal(
    run(bundle.variables, images), run(direct.variables, images)
  )


@pytest.mark.parametrize("how", ["fresh", "overwrite"])
def test_a_failed_conversion_leaves_what_was_there(how, file, tmp_path):
  output = tmp_path / "out" / "bundle"
  if how == "overwrite":
    conversion.convert(input=file, output=output)
  file.write_bytes(file.read_bytes()[:-500])
  before = contents(tmp_path)
  with pytest.raises(ValueError, match="cut short"):
    conversion.convert(input=file, output=output, overwrite=True)
  assert contents(tmp_path) == before


def test_a_damaged_tensor_is_found_before_anything_is_written(file, tmp_path):
  data = bytearray(file.read_bytes())
  data[len(data) // 2] ^= 1
  file.write_bytes(data)
  with pytest.raises(ValueError, match=r"is damaged \("):
    conversion.convert(input=file, output=tmp_path / "bundle")
  assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_an_existing_folder_is_refused_before_the_work(file, tmp_path):
  (tmp_path / "bundle").mkdir()
  (tmp_path / "bundle" / "mine").write_text("")
  with pytest.raises(ValueError, match=r"^output=.*bundle exists already"):
    conversion.convert(input="no such file", output=tmp_path / "bundle")


def test_nan_is_warned_of(tmp_path, caplog):
  arrays = published.official()
  arrays["norm2.bias"][3] = np.nan
  arrays["head.weight"][0, 0] = np.inf
  published.write_official(tmp_path / "w", arrays)
  bundle = conversion.read_weights(tmp_path / "w")
  assert set(bundle.source["non_finite"]) == {
    "params/norm2/bias",
    "params/head/kernel",
  }
  assert "NaN or infinite weights in 2 arrays" in caplog.text


def test_rounding_is_warned_of(tmp_path, caplog):
  state = published.tensors(published.official())
  torch.save({k: v.double() for k, v in state.items()}, tmp_path / "w")
  conversion.read_weights(tmp_path / "w")
  assert "float64 does not fit" in caplog.text


def test_averages_that_are_left_are_said(tmp_path, caplog):
  arrays = published.official()
  published.write_official(
    tmp_path / "w", arrays, state_dict_ema=published.tensors(arrays)
  )
  conversion.read_weights(tmp_path / "w")
  assert "also has averaged weights, state_dict_ema" in caplog.text


@pytest.mark.parametrize(
  ("name", "expected"), [("van_b0", HALF), ("van_b4", IMAGENET)]
)
def test_official_weights_bring_their_preprocessing(name, expected, tmp_path):
  published.write_official(tmp_path / "w", thin(name))
  assert conversion.read_weights(tmp_path / "w").preprocessing == expected


def test_22k_weights_bring_theirs(tmp_path):
  arrays = thin("van_b0", 21841)
  published.write_22k(tmp_path / "w", arrays)
  bundle = conversion.read_weights(tmp_path / "w")
  assert bundle.preprocessing == IMAGENET
  assert bundle.model.num_classes == 21841
  assert bundle.labels is None


def test_fine_tuning_at_384_is_seen(tmp_path):
  published.write_22k(tmp_path / "w", published.official(), input_size=384)
  preprocessing = conversion.read_weights(tmp_path / "w").preprocessing
  assert preprocessing == dataclasses.replace(
    IMAGENET, image_size=384, resize_size=384, resize_mode="warp"
  )


def test_other_projects_weights_bring_theirs(tmp_path):
  arrays = published.official()
  published.write_openmmlab(tmp_path / "m", published.mmpretrain(arrays))
  published.write_safetensors(tmp_path / "h", published.hugging_face(arrays))
  published.write_paddle(tmp_path / "p", published.paddle(arrays))
  for name in "mhp":
    bundle = conversion.read_weights(tmp_path / name)
    assert bundle.preprocessing == HALF


def test_segmentors_bring_imagenets_statistics(tmp_path):
  arrays = published.official(published.Size(classes=0))
  for name, named in (
    ("o", {f"backbone.{key}": array for key, array in arrays.items()}),
    ("m", published.mmpretrain(arrays)),
  ):
    published.write_openmmlab(tmp_path / name, named)
    bundle = conversion.read_weights(tmp_path / name)
    assert bundle.preprocessing.mean == IMAGENET.mean


def test_preprocessing_can_be_set(file):
  preprocessing = conversion.read_weights(
    file, preprocessing={"resize_size": 232, "mean": ("0.1", "0.2", "0.3")}
  ).preprocessing
  assert preprocessing.resize_size == 232
  assert preprocessing.mean == (0.1, 0.2, 0.3)
  assert preprocessing.std == HALF.std


def test_a_thousand_classes_are_imagenets(tmp_path):
  published.write_official(tmp_path / "w", thin("van_b0"))
  labels = conversion.read_weights(tmp_path / "w").labels
  assert labels is not None
  assert labels[0] == "tench, Tinca tinca"
  assert labels[207] == "golden retriever"
  assert labels[999] == "toilet tissue, toilet paper, bathroom tissue"


def test_other_counts_have_no_names(file):
  assert conversion.read_weights(file).labels is None


@pytest.mark.parametrize("meta", ["CLASSES", "classes", "dataset_meta"])
def test_openmmlabs_names_are_kept(meta, tmp_path):
  names = [f"thing {i}" for i in range(7)]
  value = {"classes": names} if meta == "dataset_meta" else names
  published.write_openmmlab(
    tmp_path / "w", published.mmpretrain(published.official()), **{meta: value}
  )
  assert conversion.read_weights(tmp_path / "w").labels == tuple(names)


def test_hugging_faces_names_are_kept(tmp_path):
  published.write_safetensors(
    tmp_path / "model.safetensors",
    published.hugging_face(published.official()),
  )
  names = {str(i): f"thing {i}" for i in range(7)}
  config = {"model_type": "van", "id2label": names}
  (tmp_path / "config.json").write_text(json.dumps(config))
  bundle = conversion.read_weights(tmp_path / "model.safetensors")
  assert bundle.labels == tuple(names.values())


def test_names_can_be_given(file, tmp_path):
  (tmp_path / "names.txt").write_text("\n".join("abcdefg") + "\n")
  conversion.convert(
    input=file, output=tmp_path / "b", labels=tmp_path / "names.txt"
  )
  assert van_jax.load_bundle(tmp_path / "b").labels == tuple("abcdefg")


def test_too_few_names_are_refused(file, tmp_path):
  (tmp_path / "names.txt").write_text("only one\n")
  with pytest.raises(ValueError, match="labels has 1 names"):
    conversion.convert(
      input=file, output=tmp_path / "b", labels=tmp_path / "names.txt"
    )


def test_imagenets_classes_are_in_the_order_of_their_ids():
  ids, labels = imagenet.wordnet_ids(), imagenet.labels()
  assert len(set(ids)) == len(set(labels)) == 1000
  assert list(ids) == sorted(ids)
  assert labels[ids.index("n02123045")] == "tabby, tabby cat"


def test_the_script_converts_there_and_back(file, tmp_path):
  def run(*flags):
    return subprocess.run(
      [sys.executable, "convert_torch_weights.py", *map(str, flags)],
      cwd=ROOT,
      capture_output=True,
      text=True,
      check=False,
    )

  there = run(
    f"--input={file}", f"--output={tmp_path / 'b'}", "--mean=0.1,0.2,0.3"
  )
  assert json.loads(there.stdout)["format"] == "official"
  assert "Read 190 of 190 arrays" in there.stderr
  bundle = van_jax.load_bundle(tmp_path / "b")
  assert bundle.preprocessing.mean == (0.1, 0.2, 0.3)

  back = run(
    f"--input={tmp_path / 'b'}", f"--output={tmp_path / 'o'}", "--to=official"
  )
  assert json.loads(back.stdout)["output"] == str(tmp_path / "o")
  assert "head.weight" in torch.load(tmp_path / "o")["state_dict"]

  again = run(f"--input={file}", f"--output={tmp_path / 'b'}")
  assert again.returncode == 1
  assert "exists already" in again.stderr
  assert "Traceback" not in again.stderr


@pytest.mark.parametrize("there", [False, True])
def test_a_bundle_is_not_there_without_the_report_that_was_asked_for(
  there, file, tmp_path, monkeypatch
):
  if there:
    conversion.convert(input=file, output=tmp_path / "bundle")
  before = contents(tmp_path)

  def fail(*arguments, **options):
    raise OSError("disk full")

  monkeypatch.setattr(conversion, "verify_bundle", fail)
  with pytest.raises(OSError, match="disk full"):
    conversion.convert(
      input=file, output=tmp_path / "bundle", verify=True, overwrite=True
    )
  assert contents(tmp_path) == before


def test_an_existing_folder_is_refused_with_the_flag_that_replaces_it(
  file, tmp_path
):
  (tmp_path / "there").mkdir()
  (tmp_path / "there" / "mine").write_text("")
  paths: Any = {"input": file, "output": tmp_path / "there"}
  message = r"--overwrite \(overwrite=True in Python\)"
  with pytest.raises(ValueError, match=message):
    conversion.convert(**paths)
  with pytest.raises(ValueError, match=message):
    conversion.convert_back(**paths, to="official")


def test_names_of_windows_notepad_are_read(file, tmp_path):
  (tmp_path / "names.txt").write_text(
    "\n".join("abcdefg"), encoding="utf-8-sig"
  )
  conversion.convert(
    input=file, output=tmp_path / "b", labels=tmp_path / "names.txt"
  )
  assert van_jax.load_bundle(tmp_path / "b").labels == tuple("abcdefg")
