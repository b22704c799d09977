"""Weights in the layouts that other projects publish, stated a second time.

Nothing here uses the key tables: names are built by hand from the projects'
code, so that a table and its test cannot share a mistake.
"""

import argparse
import collections
import dataclasses
import pickle
import re

import numpy as np
import safetensors.torch
import torch


@dataclasses.dataclass(frozen=True)
class Size:
  """A VAN small enough to test with, of no two equal widths."""

  widths: tuple[int, ...] = (8, 12, 20, 24)
  depths: tuple[int, ...] = (1, 2, 2, 1)
  ratios: tuple[float, ...] = (2, 2, 1, 3)
  classes: int = 7
  attention: str = "lka"


SMALL = Size()

# Depthwise kernels, (high, wide), of each project's attention: K of 21 and 23
# with dilation 3, and SegNeXt's.
KERNELS = {
  "lka": {"conv0": (5, 5), "conv_spatial": (7, 7)},
  "lska": {
    "conv0h": (1, 5),
    "conv0v": (5, 1),
    "conv_spatial_h": (1, 7),
    "conv_spatial_v": (7, 1),
  },
  "msca": {
    "conv0": (5, 5),
    "conv0_1": (1, 7),
    "conv0_2": (7, 1),
    "conv1_1": (1, 11),
    "conv1_2": (11, 1),
    "conv2_1": (1, 21),
    "conv2_2": (21, 1),
  },
}


def official(
  size: Size = SMALL, seed: int = 0, *, empty: bool = False
) -> dict[str, np.ndarray]:
  """Returns an official state dict of random numbers, no two arrays equal.

  Args:
    size: of the network.
    seed: of the numbers.
    empty: leave the numbers out, where only shapes matter.
  """
  random = np.random.default_rng(seed)
  arrays = {}

  def add(key, *shape):
    if empty:
      arrays[key] = np.broadcast_to(np.float32(0), shape)
    else:
      arrays[key] = random.normal(size=shape).astype(np.float32)

  def conv(key, out, into, kernel):
    add(f"{key}.weight", out, into, kernel, kernel)
    add(f"{key}.bias", out)

  def norm(key, width, *, statistics):
    add(f"{key}.weight", width)
    add(f"{key}.bias", width)
    if statistics:
      add(f"{key}.running_mean", width)
      arrays[f"{key}.running_var"] = np.float32(
        random.uniform(0.5, 1.5, size=width)
      )
      arrays[f"{key}.num_batches_tracked"] = np.array(387810)

  before = 3
  for s, width in enumerate(size.widths, start=1):
    hidden = int(width * size.ratios[s - 1])
    conv(f"patch_embed{s}.proj", width, before, 7 if s == 1 else 3)
    norm(f"patch_embed{s}.norm", width, statistics=True)
    for j in range(size.depths[s - 1]):
      block = f"block{s}.{j}"
      add(f"{block}.layer_scale_1", width)
      add(f"{block}.layer_scale_2", width)
      norm(f"{block}.norm1", width, statistics=True)
      conv(f"{block}.attn.proj_1", width, width, 1)
      for name, (high, wide) in KERNELS[size.attention].items():
        unit = f"{block}.attn.spatial_gating_unit.{name}"
        add(f"{unit}.weight", width, 1, high, wide)
        add(f"{unit}.bias", width)
      last = "conv3" if size.attention == "msca" else "conv1"
      conv(f"{block}.attn.spatial_gating_unit.{last}", width, width, 1)
      conv(f"{block}.attn.proj_2", width, width, 1)
      norm(f"{block}.norm2", width, statistics=True)
      conv(f"{block}.mlp.fc1", hidden, width, 1)
      conv(f"{block}.mlp.dwconv.dwconv", hidden, 1, 3)
      conv(f"{block}.mlp.fc2", width, hidden, 1)
    norm(f"norm{s}", width, statistics=False)
    before = width
  if size.classes:
    add("head.weight", size.classes, before)
    add("head.bias", size.classes)
  return arrays


def flax_paths(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns an official state dict as our leaves by path."""
  leaves = {}
  for key, array in arrays.items():
    if key.endswith("num_batches_tracked"):
      continue
    name = re.sub(r"^block(\d)\.(\d+)\.", r"block\1_\2.", key)
    name = name.replace("dwconv.dwconv", "dwconv").replace(".", "/")
    if name.endswith("/running_mean"):
      path = f"batch_stats/{name.replace('/running_mean', '/mean')}"
    elif name.endswith("/running_var"):
      path = f"batch_stats/{name.replace('/running_var', '/var')}"
    elif "norm" in name:
      path = f"params/{re.sub('/weight$', '/scale', name)}"
    else:
      path = f"params/{re.sub('/weight$', '/kernel', name)}"
    if array.ndim == 4:
      array = np.einsum("oihw->hwio", array)
    leaves[path] = array.T if array.ndim == 2 else array
  return leaves


def mmpretrain(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns an official state dict under mmpretrain's names."""
  renamed = {}
  for key, array in arrays.items():
    key = re.sub(r"^block(\d)", r"blocks\1", key)
    key = re.sub(r"^(patch_embed\d)\.proj", r"\1.projection", key)
    key = key.replace("unit.conv0", "unit.DW_conv")
    key = key.replace("unit.conv_spatial", "unit.DW_D_conv")
    key = key.replace("mlp.dwconv.dwconv", "mlp.dwconv")
    head = key.startswith("head.")
    key = key.replace("head.", "head.fc.") if head else f"backbone.{key}"
    renamed[key] = array
  return renamed


def hugging_face(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns an official state dict under Hugging Face's names."""
  inside = {
    "norm1": "pre_normomalization",
    "norm2": "post_normalization",
    "attn.proj_1": "attention.pre_projection.conv",
    "attn.spatial_gating_unit.conv0": (
      "attention.attention_layer.attention.depth_wise"
    ),
    "attn.spatial_gating_unit.conv_spatial": (
      "attention.attention_layer.attention.depth_wise_dilated"
    ),
    "attn.spatial_gating_unit.conv1": (
      "attention.attention_layer.attention.point_wise"
    ),
    "attn.proj_2": "attention.post_projection",
    "mlp.fc1": "mlp.in_dense",
    "mlp.dwconv.dwconv": "mlp.depth_wise",
    "mlp.fc2": "mlp.out_dense",
  }
  renamed = {}
  for key, array in arrays.items():
    module, _, leaf = key.rpartition(".")
    if match := re.fullmatch(r"patch_embed(\d)\.(proj|norm)", module):
      kind = {"proj": "convolution", "norm": "normalization"}[match[2]]
      new = f"van.encoder.stages.{int(match[1]) - 1}.embeddings.{kind}.{leaf}"
    elif match := re.fullmatch(r"norm(\d)", module):
      new = f"van.encoder.stages.{int(match[1]) - 1}.normalization.{leaf}"
    elif match := re.fullmatch(r"block(\d)\.(\d+)(?:\.(.+))?", module):
      layer = f"van.encoder.stages.{int(match[1]) - 1}.layers.{match[2]}"
      scales = {
        "layer_scale_1": "attention_scaling.weight",
        "layer_scale_2": "mlp_scaling.weight",
      }
      end = f"{inside[match[3]]}.{leaf}" if match[3] else scales[leaf]
      new = f"{layer}.{end}"
    else:
      new = f"classifier.{leaf}"
    renamed[new] = array
  width = arrays["norm4.weight"].shape
  renamed["van.layernorm.weight"] = np.ones(width, np.float32)
  renamed["van.layernorm.bias"] = np.zeros(width, np.float32)
  return renamed


def paddle(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns an official state dict as PaddleClas's VAN has it."""
  renamed = {}
  for key, array in arrays.items():
    if key.endswith("num_batches_tracked"):
      continue
    key = key.replace(".running_mean", "._mean")
    key = key.replace(".running_var", "._variance")
    if "layer_scale" in key:
      array = array[:, None, None]
    renamed[key] = np.ascontiguousarray(array.T) if array.ndim == 2 else array
  return renamed


def tensors(arrays: dict[str, np.ndarray]) -> collections.OrderedDict:
  """Returns arrays as torch has a module's state dict."""
  state = collections.OrderedDict(
    (key, torch.from_numpy(np.array(array))) for key, array in arrays.items()
  )
  # torch hangs the modules' versions on it, and pickles them.
  state._metadata = collections.OrderedDict(version=1)  # pyright: ignore
  return state


def write_official(path, arrays, *, zipped: bool = True, **fields) -> None:
  """Writes as the authors' train.py (timm 0.4.12) does."""
  checkpoint = {
    "epoch": 309,
    "arch": "van_tiny",
    "state_dict": tensors(arrays),
    "optimizer": {
      "state": {0: {"step": 5, "exp_avg": torch.zeros(3)}},
      "param_groups": [{"lr": 1e-3, "params": [0]}],
    },
    "version": 2,
    "args": argparse.Namespace(lr=1e-3, mean=None, model="van_tiny"),
    "metric": 75.4,
  }
  torch.save(checkpoint | fields, path, _use_new_zipfile_serialization=zipped)


def write_22k(path, arrays, **args) -> None:
  """Writes as the authors' ImageNet-22k scripts do."""
  checkpoint = {
    "model": tensors(arrays),
    "optimizer": {"state": {}, "param_groups": []},
    "epoch": 89,
    "scaler": {"scale": 65536.0},
    "args": argparse.Namespace(**args),
  }
  torch.save(checkpoint, path)


def write_openmmlab(path, arrays, **meta) -> None:
  """Writes as OpenMMLab's publish_model.py does: the older container."""
  torch.save(
    {
      "meta": {"mmcls_version": "0.23.0", **meta},
      "state_dict": tensors(arrays),
    },
    path,
    _use_new_zipfile_serialization=False,
  )


def write_safetensors(path, arrays) -> None:
  """Writes as Hugging Face's save_pretrained does."""
  safetensors.torch.save_file(
    {key: value.contiguous() for key, value in tensors(arrays).items()},
    path,
    metadata={"format": "pt"},
  )


def write_paddle(path, arrays, protocol: int = 4) -> None:
  """Writes as paddle.save does."""
  names = {key: f"param_{i}" for i, key in enumerate(arrays)}
  with open(path, "wb") as file:
    pickle.dump(
      arrays | {"StructuredToParameterName@@": names}, file, protocol=protocol
    )
