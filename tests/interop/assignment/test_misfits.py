"""Weights that do not fit are refused in one error that says all about it."""

import numpy as np
import published_files as published
import pytest
import torch
from flax import traverse_util

from van_jax import models
from van_jax.interop import convert as conversion
from van_jax.interop.names import key_tables, keys, prefixes


@pytest.fixture
def arrays():
  return published.official()


def error(path, arrays):
  """Returns what converting these arrays complains of."""
  published.write_official(path, arrays)
  with pytest.raises(ValueError) as caught:
    conversion.read_weights(path)
  assert str(path) in str(caught.value)
  return str(caught.value)


def test_a_missing_key_is_named_both_ways(tmp_path, arrays):
  del arrays["block2.1.norm2.weight"]
  text = error(tmp_path / "w.pth", arrays)
  assert (
    "block2.1.norm2.weight (our params/block2_1/norm2/scale) is not in" in text
  )


def test_an_unknown_key_is_named_with_the_nearest(tmp_path, arrays):
  arrays["block2.1.norm2.wieght"] = arrays.pop("block2.1.norm2.weight")
  text = error(tmp_path / "w.pth", arrays)
  assert (
    "block2.1.norm2.wieght in the file has no place "
    "(nearest: block2.1.norm2.weight)" in text
  )


def test_a_wrong_shape_is_told_with_the_right_one(tmp_path, arrays):
  arrays["norm3.bias"] = np.zeros(3, np.float32)
  text = error(tmp_path / "w.pth", arrays)
  assert "norm3.bias has the shape (3,), the model wants (20,)" in text


def test_whole_numbers_are_no_weights(tmp_path, arrays):
  arrays["norm3.bias"] = np.zeros(20, np.int64)
  assert "norm3.bias has the type int64" in error(tmp_path / "w.pth", arrays)


def test_more_names_than_any_van_has_are_not_looked_at():
  with pytest.raises(ValueError, match="50,001 weights by name"):
    prefixes.find(f"patch_embed1.{i}" for i in range(50_001))


def test_all_misfits_are_in_one_error(tmp_path, arrays):
  arrays["extra.weight"] = np.zeros(3, np.float32)
  arrays["norm3.bias"] = np.zeros(3, np.float32)
  del arrays["head.bias"]
  text = error(tmp_path / "w.pth", arrays)
  for part in ("extra.weight", "norm3.bias", "head.bias"):
    assert part in text


def test_long_lists_are_counted(tmp_path, arrays):
  arrays |= {f"extra.{i}": np.zeros(1, np.float32) for i in range(50)}
  assert "and 30 more" in error(tmp_path / "w.pth", arrays)


def test_keys_of_another_network_are_refused(tmp_path):
  state = {"layer1.0.conv1.weight": torch.zeros(3), "fc.bias": torch.zeros(3)}
  torch.save(state, tmp_path / "w.pth")
  with pytest.raises(ValueError, match=r"not VAN's weights.*layer1\.0\.conv1"):
    conversion.read_weights(tmp_path / "w.pth")


def test_a_near_relative_is_refused(tmp_path, arrays):
  # PVT v2 has VAN's patch embeddings and norms, and another attention.
  relative = {
    key.replace("attn.proj_1", "attn.q"): array
    for key, array in arrays.items()
    if "spatial_gating" not in key and "proj_2" not in key
  }
  text = error(tmp_path / "w.pth", relative)
  assert "attn.q.weight in the file has no place" in text


def test_a_list_is_no_state_dict(tmp_path):
  torch.save([torch.zeros(3)], tmp_path / "w.pth")
  with pytest.raises(ValueError, match="holds a list"):
    conversion.read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("table", key_tables.TABLES, ids=lambda t: t.name)
def test_tables_are_total_both_ways(table, tmp_path, arrays):
  published.write_official(tmp_path / "w.pth", arrays)
  model = conversion.read_weights(tmp_path / "w.pth").model
  for prefix in table.prefixes:
    dialect = keys.Dialect(table, prefix)
    wanted = traverse_util.flatten_dict(models.variable_shapes(model), sep="/")
    forth = {path: keys.entry_of_path(path, dialect) for path in wanted}
    back = keys.entries_of_keys((e.key for e in forth.values()), dialect)
    assert {e.key: e.path for e in back.values()} == {
      entry.key: path for path, entry in forth.items()
    }
    assert len(back) == len(wanted)
    assert keys.recognise(back) == dialect
