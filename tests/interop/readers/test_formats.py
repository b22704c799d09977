"""Every published layout is read, exactly, and recognised by its keys."""

import numpy as np
import published_files as published
import pytest
import torch
from flax import traverse_util

from van_jax.interop import convert as conversion

SIZE = published.Size()
HEADLESS = published.Size(classes=0)


def write_heads(path, arrays):
  """Writes a segmentor: a backbone and two heads."""
  heads = {
    "decode_head.conv_seg.weight": np.ones((4, 3, 1, 1), np.float32),
    "auxiliary_head.conv_seg.bias": np.ones(4, np.float32),
  }
  published.write_openmmlab(path, arrays | heads)


WRITERS = {
  "official": published.write_official,
  "official, older container": lambda path, arrays: published.write_official(
    path, arrays, zipped=False
  ),
  "official, parallel": lambda path, arrays: published.write_official(
    path, {f"module.{key}": array for key, array in arrays.items()}
  ),
  "official, bare": lambda path, arrays: torch.save(
    published.tensors(arrays), path
  ),
  "official 22k": published.write_22k,
  "mmpretrain": lambda path, arrays: published.write_openmmlab(
    path, published.mmpretrain(arrays)
  ),
  "mmpretrain, bare": lambda path, arrays: torch.save(
    published.tensors(published.mmpretrain(arrays)), path
  ),
  "huggingface": lambda path, arrays: torch.save(
    published.tensors(published.hugging_face(arrays)), path
  ),
  "huggingface, safetensors": lambda path, arrays: published.write_safetensors(
    path, published.hugging_face(arrays)
  ),
  "paddleclas": lambda path, arrays: published.write_paddle(
    path, published.paddle(arrays)
  ),
  "paddleclas, protocol 2": lambda path, arrays: published.write_paddle(
    path, published.paddle(arrays), protocol=2
  ),
}
BACKBONE_WRITERS = {
  "mmseg, official names": lambda path, arrays: write_heads(
    path, {f"backbone.{key}": array for key, array in arrays.items()}
  ),
  "mmseg, mmpretrain names": lambda path, arrays: write_heads(
    path, published.mmpretrain(arrays)
  ),
  "huggingface, VanModel": lambda path, arrays: published.write_safetensors(
    path,
    {
      key.removeprefix("van."): array
      for key, array in published.hugging_face(arrays).items()
    },
  ),
}


def assert_holds(bundle, arrays):
  """Asserts that a bundle has exactly these official arrays."""
  got = traverse_util.flatten_dict(bundle.variables, sep="/")
  want = published.flax_paths(arrays)
  assert got.keys() == want.keys()
  for path, array in want.items():
    np.testing.assert_array_equal(got[path], array, err_msg=path)


@pytest.mark.parametrize("name", WRITERS)
def test_each_layout_is_read_bit_for_bit(name, tmp_path):
  arrays = published.official(SIZE)
  WRITERS[name](tmp_path / "weights", arrays)
  bundle = conversion.read_weights(tmp_path / "weights")
  assert_holds(bundle, arrays)
  assert bundle.source["format"] == name.split(",")[0].removesuffix(" 22k")
  assert bundle.model.num_classes == SIZE.classes


@pytest.mark.parametrize("name", BACKBONE_WRITERS)
def test_backbones_are_read_without_a_head(name, tmp_path):
  arrays = published.official(HEADLESS)
  BACKBONE_WRITERS[name](tmp_path / "weights", arrays)
  bundle = conversion.read_weights(
    tmp_path / "weights", backbone_only=name.startswith("mmseg")
  )
  assert_holds(bundle, arrays)
  assert bundle.model.num_classes == 0


def test_what_a_segmentor_has_beside_the_backbone_is_counted(tmp_path):
  BACKBONE_WRITERS["mmseg, official names"](
    tmp_path / "weights", published.official(HEADLESS)
  )
  source = conversion.read_weights(
    tmp_path / "weights", backbone_only=True
  ).source
  assert source["dropped"] == {"decode_head": 1, "auxiliary_head": 1}


def test_averages_are_taken_where_they_are_asked_for(tmp_path):
  plain, average = published.official(SIZE), published.official(SIZE, seed=1)
  published.write_official(
    tmp_path / "weights", plain, state_dict_ema=published.tensors(average)
  )
  assert_holds(conversion.read_weights(tmp_path / "weights"), plain)
  assert_holds(
    conversion.read_weights(tmp_path / "weights", averaged=True), average
  )


def test_averages_that_are_not_there_are_missed(tmp_path):
  published.write_official(tmp_path / "weights", published.official(SIZE))
  with pytest.raises(ValueError, match="no averaged weights"):
    conversion.read_weights(tmp_path / "weights", averaged=True)


def test_mmpretrain_has_its_own_epsilon(tmp_path):
  arrays = published.official(SIZE)
  for name, epsilon in (("mmpretrain", 1e-5), ("official", 1e-6)):
    WRITERS[name](tmp_path / name, arrays)
    model = conversion.read_weights(tmp_path / name).model
    assert model.layer_norm_epsilon == epsilon


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("save", ["torch", "safetensors"])
def test_narrow_floats_are_widened(dtype, save, tmp_path):
  state = {
    key: value.to(dtype) if value.is_floating_point() else value
    for key, value in published.tensors(published.official(SIZE)).items()
  }
  path = tmp_path / "weights"
  if save == "torch":
    torch.save(state, path)
  else:
    published.safetensors.torch.save_file(state, path)
  bundle = conversion.read_weights(path)
  widened = {key: value.float().numpy() for key, value in state.items()}
  assert_holds(bundle, widened)
  assert bundle.source["dtypes"] == {
    str(dtype).removeprefix("torch."): len(published.flax_paths(widened))
  }


def test_windows_into_a_shared_storage_are_cut_out(tmp_path):
  arrays = published.official(SIZE)
  state = published.tensors(arrays)
  width = len(state["norm1.bias"])
  shared = torch.cat([state["norm1.bias"], state["norm1.weight"]])
  state["norm1.bias"], state["norm1.weight"] = shared.split(width)
  kernel = state["block1.0.attn.proj_1.weight"]  # Strides of channels_last.
  state["block1.0.attn.proj_1.weight"] = kernel.contiguous(
    memory_format=torch.channels_last
  )
  state["head.weight"] = state["head.weight"].T.contiguous().T
  torch.save(state, tmp_path / "weights")
  assert_holds(conversion.read_weights(tmp_path / "weights"), arrays)


def test_counters_are_remembered(tmp_path):
  published.write_official(tmp_path / "weights", published.official(SIZE))
  source = conversion.read_weights(tmp_path / "weights").source
  assert source["batches_seen"] == 387810


def test_files_of_old_torch_have_no_counters(tmp_path):
  arrays = published.official(SIZE)
  counted = {k: v for k, v in arrays.items() if "num_batches" not in k}
  published.write_official(tmp_path / "weights", counted)
  assert_holds(conversion.read_weights(tmp_path / "weights"), arrays)
