"""The parity report says how exact a conversion is, and notices a wrong one."""

import json

import numpy as np
import published_files as published
import pytest
from flax import traverse_util

from van_jax.interop import convert as conversion
from van_jax.interop.facts import published_preprocessing
from van_jax.interop.proof import official_arrays, photographs, verification
from van_jax.interop.readers import torch_file

WRITERS = {
  "official": published.write_official,
  "mmpretrain": lambda path, arrays: published.write_openmmlab(
    path, published.mmpretrain(arrays)
  ),
  "huggingface": lambda path, arrays: published.write_safetensors(
    path, published.hugging_face(arrays)
  ),
  "paddleclas": lambda path, arrays: published.write_paddle(
    path, published.paddle(arrays)
  ),
}
SMALL = {"image_size": 64, "resize_size": 72}


@pytest.fixture(scope="module")
def trained():
  """Returns an official state dict like one that was trained."""
  return as_trained(published.official())


def as_trained(arrays):
  """Returns arrays that keep activations in bounds, as training does."""
  for key, array in arrays.items():
    if array.ndim > 1:
      array *= (2 / np.prod(array.shape[1:])) ** 0.5
    elif "layer_scale" in key:
      array *= 0.2
  return arrays


@pytest.fixture(scope="module")
def photos():
  """Returns two photographs."""
  return dict(list(photographs.read(None).items())[:2])


def verify(path, photos, **changes):
  """Returns a report about a file, with some of our arrays changed."""
  bundle = conversion.read_weights(path, preprocessing=SMALL)
  flat = traverse_util.flatten_dict(bundle.variables, sep="/")
  return verification.verify(
    bundle.model,
    traverse_util.unflatten_dict(flat | changes, sep="/"),
    official_arrays.read(path, averaged=False),
    images=photos,
    preprocessing=bundle.preprocessing,
  )


def test_conversion_writes_a_report(trained, tmp_path):
  published.write_official(tmp_path / "w", trained)
  result = conversion.convert(
    input=tmp_path / "w",
    output=tmp_path / "b",
    verify=True,
    preprocessing=SMALL,
  )
  report = json.loads((tmp_path / "b" / "parity.json").read_text())
  assert report["images"] == 10
  assert list(report["outputs"]) == list(verification.OUTPUTS)
  # float32 has 6e-8; a few hundred additions in other orders make some 1e-6.
  assert report["logits_max_over_spread"] < 1e-4
  assert report["logits_max_over_spread"] == result["logits_max_over_spread"]
  assert report["top1_agreement"] == 1.0
  assert "top-1 agreement: 100.00%" in verification.table(report)


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_agrees_with_pytorch(name, trained, photos, tmp_path):
  WRITERS[name](tmp_path / "w", trained)
  report = verify(tmp_path / "w", photos)
  for output in report["outputs"].values():
    for pair in ("torch_flax", "torch_float64", "flax_float64"):
      assert output[pair]["max"] < 1e-4 * output["spread"]


@pytest.mark.parametrize("attention", ["lska", "msca"])
def test_other_attentions_agree_with_pytorch(attention, photos, tmp_path):
  arrays = published.official(published.Size(attention=attention))
  published.write_official(tmp_path / "w", as_trained(arrays))
  for output in verify(tmp_path / "w", photos)["outputs"].values():
    assert output["torch_flax"]["max"] < 1e-4 * output["spread"]


def test_a_wrong_array_is_noticed(trained, photos, tmp_path):
  published.write_official(tmp_path / "w", trained)
  bias = trained["block3.1.norm2.bias"]
  report = verify(
    tmp_path / "w", photos, **{"params/block3_1/norm2/bias": bias[::-1]}
  )
  outputs = report["outputs"]
  assert outputs["stage2"]["torch_flax"]["max"] < 1e-4
  assert outputs["stage3"]["torch_flax"]["max"] > 1e-2
  assert report["logits_max_over_spread"] > 1e-3


def test_nan_is_not_taken_for_agreement(trained, photos, tmp_path):
  published.write_official(tmp_path / "w", trained)
  report = verify(
    tmp_path / "w",
    photos,
    **{"params/head/bias": np.full(7, np.nan, np.float32)},
  )
  assert np.isnan(report["logits_max_over_spread"])


@pytest.mark.parametrize(
  ("size", "resize", "mode"),
  [(224, 248, "short_side"), (224, 256, "short_side"), (384, 384, "warp")],
)
def test_tensorflows_pixels_are_pils(size, resize, mode):
  preprocessing = published_preprocessing.dataclasses.replace(
    published_preprocessing.HALF,
    image_size=size,
    resize_size=resize,
    resize_mode=mode,
  )
  levels = verification.compare_pixels(photographs.read(None), preprocessing)
  assert levels["max"] <= 2  # PIL's filters are rounded to 22 bits.
  assert levels["mean"] <= 0.001


def test_a_folder_of_photographs_is_read(tmp_path, photos):
  (tmp_path / "sub").mkdir()
  (tmp_path / "sub" / "a.JPG").write_bytes(photos["china.jpg"])
  (tmp_path / "notes.txt").write_text("no image")
  assert list(photographs.read(tmp_path)) == ["sub/a.JPG"]


def test_a_photograph_that_is_none_is_named(tmp_path):
  (tmp_path / "a.jpg").write_bytes(b"not a photograph")
  with pytest.raises(ValueError, match=r"a\.jpg cannot be read as an image"):
    photographs.read(tmp_path)


def test_a_folder_without_photographs_is_refused(tmp_path):
  with pytest.raises(ValueError, match="has no"):
    photographs.read(tmp_path)


def test_missing_torch_is_said_before_the_work(tmp_path, monkeypatch):
  def missing():
    raise ValueError("needs PyTorch")

  monkeypatch.setattr(torch_file, "library", missing)
  with pytest.raises(ValueError, match="needs PyTorch"):
    conversion.convert(
      input=tmp_path / "none", output=tmp_path / "b", verify=True
    )
