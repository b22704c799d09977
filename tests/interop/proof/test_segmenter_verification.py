"""The parity report of a segmenter: stages, neck, logits, auxiliary head."""

import io
import json
from typing import Any

import published_files as published
import published_segmenters as segmenters
import pytest
from flax import traverse_util
from PIL import Image

from van_jax.interop import convert as conversion
from van_jax.interop.proof import (
  official_arrays,
  photographs,
  segmenter_verification,
)

STAGES = [f"stage{i}" for i in range(1, 5)]
OUTPUTS = {
  "fpn": [*STAGES, "neck1", "neck2", "neck3", "neck4", "logits"],
  "upernet": [*STAGES, "logits", "auxiliary"],
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
  """Returns a folder of a photograph's middle, 64 x 96 (height x width)."""
  folder = tmp_path_factory.mktemp("photos")
  encoded = photographs.read(None)["flower.jpg"]
  with Image.open(io.BytesIO(encoded)) as image:
    image.crop((250, 150, 346, 214)).save(folder / "flower.png")
  return folder


def write(path, head):
  arrays = segmenters.segmenter(head, auxiliary=head == "upernet")
  published.write_openmmlab(path, arrays)
  return path


@pytest.mark.parametrize("head", OUTPUTS)
def test_conversion_writes_a_report_of_each_map(head, photos, tmp_path):
  result = conversion.convert(
    input=write(tmp_path / "w", head),
    output=tmp_path / "b",
    verify=True,
    images=photos,
    preprocessing={"scale": None},
  )
  report = json.loads((tmp_path / "b" / "parity.json").read_text())
  assert list(report["outputs"]) == OUTPUTS[head]
  assert report["image_sizes"] == [[64, 96]]
  for name, output in report["outputs"].items():
    for pair in ("torch_flax", "torch_float64", "flax_float64"):
      # float32 has 6e-8; hundreds of additions in other orders.
      assert output[pair]["max"] < 1e-4 * output["spread"], name
  assert report["logits_max_over_spread"] == result["logits_max_over_spread"]
  assert report["top1_agreement"] > 0.99


@pytest.mark.parametrize(
  ("path", "expected"),
  [
    ("params/decode_head/neck/fpn_convs_2/conv/bias", ["neck3", "logits"]),
    ("batch_stats/decode_head/scale_heads_3_4/bn/mean", ["logits"]),
  ],
)
def test_a_wrong_array_is_noticed_where_it_is(path, expected, photos, tmp_path):
  file = write(tmp_path / "w", "fpn")
  bundle = conversion.read_weights(file, preprocessing={"scale": None})
  flat: Any = traverse_util.flatten_dict(bundle.variables, sep="/")
  flat[path] = flat[path][::-1]
  report = segmenter_verification.verify(
    bundle.model,
    traverse_util.unflatten_dict(flat, sep="/"),
    official_arrays.read(file, averaged=False),
    images=photographs.read(photos),
    preprocessing=bundle.preprocessing,
  )
  gaps = {
    name: output["torch_flax"]["max"] / output["spread"]
    for name, output in report["outputs"].items()
  }
  assert [name for name, gap in gaps.items() if not gap < 1e-4] == expected
