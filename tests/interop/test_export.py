"""What is written back is what the other projects' files are, bit for bit."""

import dataclasses
import json

import numpy as np
import published_files as published
import pytest
import safetensors.torch
import torch

from van_jax import bundle as bundle_lib
from van_jax.interop import convert as conversion, export
from van_jax.interop.proof import torch_van

WRITE = {
  "official": published.write_official,
  "mmpretrain": lambda path, arrays: published.write_openmmlab(
    path, published.mmpretrain(arrays)
  ),
  "huggingface": lambda path, arrays: published.write_safetensors(
    path, published.hugging_face(arrays)
  ),
}


@pytest.fixture(scope="module")
def arrays():
  return published.official()


@pytest.fixture(scope="module")
def bundle(arrays, tmp_path_factory):
  """Returns the path of a bundle of official weights."""
  return converted(tmp_path_factory.mktemp("official"), arrays)


def converted(folder, arrays, to="official"):
  """Returns the path of a bundle of these weights."""
  WRITE[to](folder / "weights", arrays)
  conversion.convert(input=folder / "weights", output=folder / "bundle")
  return folder / "bundle"


def written(folder, arrays, to):
  """Returns the state dict that comes out of a bundle of these weights."""
  bundle = converted(folder, arrays, to)
  output = folder / "back"
  conversion.convert_back(input=bundle, output=output, to=to)
  if to == "huggingface":
    return safetensors.torch.load_file(output / "model.safetensors")
  return torch.load(output, weights_only=True)["state_dict"]


@pytest.mark.parametrize(
  ("to", "expected"),
  [
    ("official", lambda arrays: arrays),
    ("mmpretrain", published.mmpretrain),
    ("huggingface", published.hugging_face),
  ],
)
def test_round_trips_are_bit_exact(to, expected, tmp_path, arrays):
  got, want = written(tmp_path, arrays, to), expected(arrays)
  assert got.keys() == want.keys()
  for key, array in want.items():
    assert got[key].numpy().dtype == array.dtype
    assert got[key].shape == array.shape
    np.testing.assert_array_equal(got[key].numpy(), array, err_msg=key)


def test_hugging_faces_counters_are_scalars(tmp_path, arrays):
  # With an axis, from_pretrained(low_cpu_mem_usage=True) fails on them.
  got = written(tmp_path, arrays, "huggingface")
  counters = [key for key in got if key.endswith("num_batches_tracked")]
  assert counters
  assert {got[key].shape for key in counters} == {()}
  again = conversion.read_weights(tmp_path / "back" / "model.safetensors")
  assert again.source["batches_seen"] == 387810


@pytest.mark.parametrize("attention", ["lska", "msca"])
def test_other_attentions_have_official_files_alone(attention, tmp_path):
  arrays = published.official(published.Size(attention=attention))
  got = written(tmp_path, arrays, "official")
  assert got.keys() == arrays.keys()
  for key, array in arrays.items():
    np.testing.assert_array_equal(got[key].numpy(), array, err_msg=key)
  for to in ("mmpretrain", "huggingface"):
    with pytest.raises(ValueError, match=rf"'{attention}'.*{to} code has lka"):
      conversion.convert_back(
        input=tmp_path / "bundle", output=tmp_path / to, to=to
      )


def test_formats_translate_into_each_other(tmp_path, arrays):
  bundle = converted(tmp_path, arrays, "mmpretrain")
  conversion.convert_back(input=bundle, output=tmp_path / "o", to="official")
  state = torch.load(tmp_path / "o", weights_only=True)["state_dict"]
  for key, array in arrays.items():
    np.testing.assert_array_equal(state[key].numpy(), array, err_msg=key)


def test_official_files_load_into_the_official_network(bundle, tmp_path):
  conversion.convert_back(input=bundle, output=tmp_path / "o", to="official")
  size = published.SMALL
  network = torch_van.TorchVAN(
    size.widths, size.depths, size.ratios, num_classes=size.classes
  )
  checkpoint = torch.load(tmp_path / "o", weights_only=True)
  network.load_state_dict(checkpoint["state_dict"], strict=True)


def test_hugging_face_gets_its_configuration(bundle, tmp_path):
  conversion.convert_back(input=bundle, output=tmp_path / "h", to="huggingface")
  config = json.loads((tmp_path / "h" / "config.json").read_text())
  assert config["model_type"] == "van"
  assert config["architectures"] == ["VanForImageClassification"]
  assert config["hidden_sizes"] == [8, 12, 20, 24]
  assert config["depths"] == [1, 2, 2, 1]
  assert config["mlp_ratios"] == [2, 2, 1, 3]
  assert len(config["id2label"]) == 7


@pytest.mark.parametrize(
  ("image_size", "resize_size"),
  [(224, 224), (224, 248), (224, 256), (192, 225)],  # 192 / (192 / 225) < 225.
)
def test_hugging_faces_processor_resizes_to_the_same(
  image_size, resize_size, tmp_path, arrays
):
  WRITE["official"](tmp_path / "w", arrays)
  conversion.convert(
    input=tmp_path / "w",
    output=tmp_path / "b",
    preprocessing={"image_size": image_size, "resize_size": resize_size},
  )
  conversion.convert_back(
    input=tmp_path / "b", output=tmp_path / "h", to="huggingface"
  )
  text = (tmp_path / "h" / "preprocessor_config.json").read_text()
  config = json.loads(text)
  size = config["size"]["shortest_edge"]
  # transformers, ConvNextImageProcessor.resize.
  assert int(size / config["crop_pct"]) == resize_size
  assert (config["resample"], config["image_mean"]) == (3, [0.5, 0.5, 0.5])


def test_a_backbone_is_written_without_a_head(tmp_path):
  arrays = published.official(published.Size(classes=0))
  bundle = converted(tmp_path, arrays)
  conversion.convert_back(input=bundle, output=tmp_path / "h", to="huggingface")
  state = safetensors.torch.load_file(tmp_path / "h" / "model.safetensors")
  assert "encoder.stages.0.embeddings.convolution.weight" in state
  assert not any(key.startswith(("van.", "classifier")) for key in state)


def test_what_code_cannot_run_is_refused(bundle):
  model = bundle_lib.load_bundle(bundle).model
  for field, value in (("gate", "add"), ("kernel_size", 28)):
    attention = {"name": "lka", field: value}
    odd = dataclasses.replace(model, attention=attention)
    with pytest.raises(
      ValueError, match=f"attention is .*'{field}': '?{value}"
    ):
      export.check(odd, to="official")


def test_no_layer_scale_is_for_mmpretrain_only(tmp_path, arrays):
  bare = {k: v for k, v in arrays.items() if "layer_scale" not in k}
  bundle = converted(tmp_path, bare)
  conversion.convert_back(input=bundle, output=tmp_path / "m", to="mmpretrain")
  with pytest.raises(ValueError, match="has no layer scales"):
    conversion.convert_back(input=bundle, output=tmp_path / "o", to="official")


def test_another_epsilon_is_said(bundle):
  model = bundle_lib.load_bundle(bundle).model
  assert export.notes(model, to="official") == []
  assert "1e-05 in its stage norms" in export.notes(model, to="mmpretrain")[0]


def test_an_unknown_format_is_refused(bundle, tmp_path):
  with pytest.raises(ValueError, match="to='keras' must be one of official"):
    conversion.convert_back(input=bundle, output=tmp_path / "k", to="keras")


@pytest.mark.parametrize("to", ["official", "huggingface"])
def test_files_are_replaced_only_on_demand(to, bundle, tmp_path):
  paths = {
    "input": bundle,
    "output": tmp_path / "out",
    "to": to,
  }
  conversion.convert_back(**paths)
  with pytest.raises(ValueError, match="exists already"):
    conversion.convert_back(**paths)
  conversion.convert_back(**paths, overwrite=True)


def test_other_folders_are_never_replaced(bundle, tmp_path):
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine" / "thesis.txt").write_text("years")
  for to in ("official", "huggingface"):
    with pytest.raises(ValueError, match="is not overwritten"):
      conversion.convert_back(
        input=bundle, output=tmp_path / "mine", to=to, overwrite=True
      )
  assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_failed_write_leaves_nothing(bundle, tmp_path, monkeypatch):
  def fail(path, *_):
    path.write_bytes(b"half of it")
    raise OSError("disk full")

  before = sorted(tmp_path.iterdir())
  monkeypatch.setattr(export.torch_file, "save", fail)
  with pytest.raises(OSError, match="disk full"):
    conversion.convert_back(input=bundle, output=tmp_path / "o", to="official")
  assert sorted(tmp_path.iterdir()) == before


def test_weights_may_come_from_elsewhere(bundle, tmp_path):
  weights = bundle_lib.load_bundle(bundle)
  conversion.convert_back(
    input="a workdir",
    output=tmp_path / "o",
    to="official",
    load=lambda path: {"a workdir": weights}[str(path)],
  )
  assert (tmp_path / "o").is_file()
