"""What each project calls VAN's weights: one table per format.

A table gives the foreign name of each module of ours; the module's kind says
which arrays it holds, under which names and in which layout. In names, {s} is
the stage from 1 on, {z} the stage from 0 on, {j} the block.
"""

import dataclasses
from collections.abc import Mapping

from van_jax.interop.names.layouts import C11, IO, OI, OIHW, C, Layout

HEAD = "head"
COUNTER = "num_batches_tracked"  # Of torch's BatchNorm; Flax has none.

_BLOCK = "block{s}_{j}"
_GATE = f"{_BLOCK}/attn/spatial_gating_unit"

# What LSKA's and SegNeXt's authors call their convolutions in VAN's place.
_SEPARABLE = ("conv0h", "conv0v", "conv_spatial_h", "conv_spatial_v")
_MULTI_SCALE = (*(f"conv{i}_{n}" for i in range(3) for n in (1, 2)), "conv3")

# Every module of `models.VAN` that holds arrays, and its kind.
KINDS = {
  "patch_embed{s}/proj": "conv",
  "patch_embed{s}/norm": "batch_norm",
  f"{_BLOCK}/norm1": "batch_norm",
  f"{_BLOCK}/attn/proj_1": "conv",
  f"{_GATE}/conv0": "conv",
  f"{_GATE}/conv_spatial": "conv",
  f"{_GATE}/conv1": "conv",
  **{f"{_GATE}/{conv}": "conv" for conv in _SEPARABLE + _MULTI_SCALE},
  f"{_BLOCK}/attn/proj_2": "conv",
  f"{_BLOCK}/layer_scale_1": "scale",
  f"{_BLOCK}/norm2": "batch_norm",
  f"{_BLOCK}/mlp/fc1": "conv",
  f"{_BLOCK}/mlp/dwconv": "conv",
  f"{_BLOCK}/mlp/fc2": "conv",
  f"{_BLOCK}/layer_scale_2": "scale",
  "norm{s}": "layer_norm",
  HEAD: "linear",
}


@dataclasses.dataclass(frozen=True)
class Array:
  """One array of a module: ours, and what it is called elsewhere.

  Attributes:
    collection: "params" or "batch_stats".
    leaf: our name; empty where the module is the array.
    foreign: the other project's name; empty likewise.
    layout: the order of the foreign axes.
  """

  collection: str
  leaf: str
  foreign: str
  layout: Layout


_CONV = (
  Array("params", "kernel", "weight", OIHW),
  Array("params", "bias", "bias", C),
)
_NORM = (
  Array("params", "scale", "weight", C),
  Array("params", "bias", "bias", C),
)
TORCH = {
  "conv": _CONV,
  "batch_norm": (
    *_NORM,
    Array("batch_stats", "mean", "running_mean", C),
    Array("batch_stats", "var", "running_var", C),
  ),
  "layer_norm": _NORM,
  "linear": (
    Array("params", "kernel", "weight", OI),
    Array("params", "bias", "bias", C),
  ),
  "scale": (Array("params", "", "", C),),
}
_PADDLE = {
  "conv": _CONV,
  "batch_norm": (
    *_NORM,
    Array("batch_stats", "mean", "_mean", C),
    Array("batch_stats", "var", "_variance", C),
  ),
  "layer_norm": _NORM,
  "linear": (
    Array("params", "kernel", "weight", IO),
    Array("params", "bias", "bias", C),
  ),
  "scale": (Array("params", "", "", C11),),
}


@dataclasses.dataclass(frozen=True)
class KeyTable:
  """The names of one format.

  Attributes:
    name: of the format.
    modules: our modules' names to foreign ones.
    arrays: what a module of each kind holds.
    prefixes: what all names but the head's may start with; the first is the
      one that the format's files of classifiers have.
    ignored: patterns of keys that VAN does not use.
    layer_norm_epsilon: of the project's stage norms.
    kinds: of our modules.
  """

  name: str
  modules: Mapping[str, str]
  arrays: Mapping[str, tuple[Array, ...]]
  prefixes: tuple[str, ...]
  ignored: tuple[str, ...] = ()
  layer_norm_epsilon: float = 1e-6
  kinds: Mapping[str, str] = dataclasses.field(default_factory=lambda: KINDS)


# Visual-Attention-Network/VAN-Classification, models/van.py. The authors'
# segmentation and detection code has the same names below "backbone."; so has
# LSKA's, StevenLauHKHK/Large-Separable-Kernel-Attention, with its convolutions.
OFFICIAL = KeyTable(
  name="official",
  modules={
    "patch_embed{s}/proj": "patch_embed{s}.proj",
    "patch_embed{s}/norm": "patch_embed{s}.norm",
    f"{_BLOCK}/norm1": "block{s}.{j}.norm1",
    f"{_BLOCK}/attn/proj_1": "block{s}.{j}.attn.proj_1",
    f"{_GATE}/conv0": "block{s}.{j}.attn.spatial_gating_unit.conv0",
    f"{_GATE}/conv_spatial": (
      "block{s}.{j}.attn.spatial_gating_unit.conv_spatial"
    ),
    f"{_GATE}/conv1": "block{s}.{j}.attn.spatial_gating_unit.conv1",
    **{
      f"{_GATE}/{conv}": f"block{{s}}.{{j}}.attn.spatial_gating_unit.{conv}"
      for conv in _SEPARABLE + _MULTI_SCALE
    },
    f"{_BLOCK}/attn/proj_2": "block{s}.{j}.attn.proj_2",
    f"{_BLOCK}/layer_scale_1": "block{s}.{j}.layer_scale_1",
    f"{_BLOCK}/norm2": "block{s}.{j}.norm2",
    f"{_BLOCK}/mlp/fc1": "block{s}.{j}.mlp.fc1",
    f"{_BLOCK}/mlp/dwconv": "block{s}.{j}.mlp.dwconv.dwconv",
    f"{_BLOCK}/mlp/fc2": "block{s}.{j}.mlp.fc2",
    f"{_BLOCK}/layer_scale_2": "block{s}.{j}.layer_scale_2",
    "norm{s}": "norm{s}",
    HEAD: "head",
  },
  arrays=TORCH,
  prefixes=("", "backbone."),
)

# PaddlePaddle/PaddleClas, ppcls/arch/backbone/model_zoo/van.py.
PADDLECLAS = dataclasses.replace(
  OFFICIAL,
  name="paddleclas",
  arrays=_PADDLE,
  prefixes=("",),
  ignored=(r"StructuredToParameterName@@",),
)

# open-mmlab/mmpretrain, mmpretrain/models/backbones/van.py. It builds its
# stage norms without an epsilon, so they have torch's 1e-5.
MMPRETRAIN = KeyTable(
  name="mmpretrain",
  modules={
    "patch_embed{s}/proj": "patch_embed{s}.projection",
    "patch_embed{s}/norm": "patch_embed{s}.norm",
    f"{_BLOCK}/norm1": "blocks{s}.{j}.norm1",
    f"{_BLOCK}/attn/proj_1": "blocks{s}.{j}.attn.proj_1",
    f"{_GATE}/conv0": "blocks{s}.{j}.attn.spatial_gating_unit.DW_conv",
    f"{_GATE}/conv_spatial": (
      "blocks{s}.{j}.attn.spatial_gating_unit.DW_D_conv"
    ),
    f"{_GATE}/conv1": "blocks{s}.{j}.attn.spatial_gating_unit.conv1",
    f"{_BLOCK}/attn/proj_2": "blocks{s}.{j}.attn.proj_2",
    f"{_BLOCK}/layer_scale_1": "blocks{s}.{j}.layer_scale_1",
    f"{_BLOCK}/norm2": "blocks{s}.{j}.norm2",
    f"{_BLOCK}/mlp/fc1": "blocks{s}.{j}.mlp.fc1",
    f"{_BLOCK}/mlp/dwconv": "blocks{s}.{j}.mlp.dwconv",
    f"{_BLOCK}/mlp/fc2": "blocks{s}.{j}.mlp.fc2",
    f"{_BLOCK}/layer_scale_2": "blocks{s}.{j}.layer_scale_2",
    "norm{s}": "norm{s}",
    HEAD: "head.fc",
  },
  arrays=TORCH,
  prefixes=("backbone.", ""),
  ignored=(r"data_preprocessor\.(mean|std)",),
  layer_norm_epsilon=1e-5,
)

# huggingface/transformers, models/van/modeling_van.py; "pre_normomalization"
# is how they spell it. The layernorm after the encoder is never called.
_STAGE = "encoder.stages.{z}"
_LAYER = f"{_STAGE}.layers.{{j}}"
_LKA = f"{_LAYER}.attention.attention_layer.attention"
HUGGINGFACE = KeyTable(
  name="huggingface",
  modules={
    "patch_embed{s}/proj": f"{_STAGE}.embeddings.convolution",
    "patch_embed{s}/norm": f"{_STAGE}.embeddings.normalization",
    f"{_BLOCK}/norm1": f"{_LAYER}.pre_normomalization",
    f"{_BLOCK}/attn/proj_1": f"{_LAYER}.attention.pre_projection.conv",
    f"{_GATE}/conv0": f"{_LKA}.depth_wise",
    f"{_GATE}/conv_spatial": f"{_LKA}.depth_wise_dilated",
    f"{_GATE}/conv1": f"{_LKA}.point_wise",
    f"{_BLOCK}/attn/proj_2": f"{_LAYER}.attention.post_projection",
    f"{_BLOCK}/layer_scale_1": f"{_LAYER}.attention_scaling.weight",
    f"{_BLOCK}/norm2": f"{_LAYER}.post_normalization",
    f"{_BLOCK}/mlp/fc1": f"{_LAYER}.mlp.in_dense",
    f"{_BLOCK}/mlp/dwconv": f"{_LAYER}.mlp.depth_wise",
    f"{_BLOCK}/mlp/fc2": f"{_LAYER}.mlp.out_dense",
    f"{_BLOCK}/layer_scale_2": f"{_LAYER}.mlp_scaling.weight",
    "norm{s}": f"{_STAGE}.normalization",
    HEAD: "classifier",
  },
  arrays=TORCH,
  prefixes=("van.", ""),
  ignored=(r"(van\.)?layernorm\.(weight|bias)",),
)

TABLES = (OFFICIAL, MMPRETRAIN, HUGGINGFACE, PADDLECLAS)
