"""Hugging Face's folders of weights, whole or in shards, are one file."""

import hashlib
import json

import published_files as published
import pytest
import torch
from test_formats import assert_holds

from van_jax.interop import convert as conversion

INDEXES = {
  "pytorch_model.bin.index.json": ("bin", torch.save),
  "model.safetensors.index.json": (
    "safetensors",
    published.safetensors.torch.save_file,
  ),
}


@pytest.fixture(scope="module")
def arrays():
  return published.official()


def write_shards(folder, arrays, index, count=3):
  """Writes as save_pretrained does with a small max_shard_size."""
  ending, save = INDEXES[index]
  state = dict(published.tensors(published.hugging_face(arrays)))
  names = list(state)
  weight_map = {}
  for number in range(count):
    part = names[number::count]
    shard = f"{index.split('.')[0]}-{number + 1:05}-of-{count:05}.{ending}"
    save({name: state[name] for name in part}, str(folder / shard))
    weight_map |= dict.fromkeys(part, shard)
  text = json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map})
  (folder / index).write_text(text)


@pytest.mark.parametrize("whole", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_stands_for_the_file_in_it(whole, arrays, tmp_path):
  state = published.hugging_face(arrays)
  if whole.endswith("bin"):
    torch.save(published.tensors(state), tmp_path / whole)
  else:
    published.write_safetensors(tmp_path / whole, state)
  bundle = conversion.read_weights(tmp_path)
  assert_holds(bundle, arrays)
  assert bundle.source["file"] == whole


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("given", ["the folder", "the index"])
def test_shards_are_read_as_one(given, index, arrays, tmp_path):
  write_shards(tmp_path, arrays, index)
  path = tmp_path if given == "the folder" else tmp_path / index
  bundle = conversion.read_weights(path)
  assert_holds(bundle, arrays)
  shards = sorted(tmp_path.glob("*-of-*"))
  assert bundle.source["file"] == index
  assert bundle.source["bytes"] == sum(s.stat().st_size for s in shards)
  digest = hashlib.sha256(b"".join(s.read_bytes() for s in shards))
  assert bundle.source["sha256"] == digest.hexdigest()


def test_a_missing_shard_is_named(arrays, tmp_path):
  index = next(iter(INDEXES))
  write_shards(tmp_path, arrays, index)
  (tmp_path / "pytorch_model-00002-of-00003.bin").unlink()
  with pytest.raises(ValueError, match=r"lists .*-00002-of-00003\.bin, and"):
    conversion.read_weights(tmp_path)


@pytest.mark.parametrize(
  "name", ["../secret.bin", "/etc/passwd", "a/b.bin", "..", "a\\b", "a\nb", 5]
)
def test_shards_do_not_lead_out_of_their_folder(name, tmp_path):
  (tmp_path / "model.safetensors.index.json").write_text(
    json.dumps({"weight_map": {"van.a": name}})
  )
  with pytest.raises(ValueError, match="no file of its own folder"):
    conversion.read_weights(tmp_path)


@pytest.mark.parametrize(
  "text", ["", "[]", "5", "{}", '{"weight_map": [1]}', "[" * 100_000]
)
def test_a_damaged_index_is_said(text, tmp_path):
  (tmp_path / "model.safetensors.index.json").write_text(text)
  with pytest.raises(ValueError, match="must be an index of shards"):
    conversion.read_weights(tmp_path)


def test_a_shard_of_something_else_is_said(arrays, tmp_path):
  index = "pytorch_model.bin.index.json"
  write_shards(tmp_path, arrays, index)
  first, second = sorted(tmp_path.glob("*-of-*"))[:2]
  second.write_bytes(first.read_bytes())
  with pytest.raises(ValueError, match="is no shard"):
    conversion.read_weights(tmp_path)
