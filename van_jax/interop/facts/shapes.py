"""Reads VAN's architecture from the shapes of its weights."""

import collections
from collections.abc import Iterable, Mapping
from typing import Any

from van_jax import errors
from van_jax.interop.names import key_tables, keys
from van_jax.models.attention.msca import MultiScaleConvAttention

# Dilation and taps of the dilated kernel: the K of arXiv:2202.09741, Table 6,
# and of arXiv:2309.01439. Others are taken as dilation * taps, which gives the
# same convolutions.
_LKA_SIZES = {(2, 4): 7, (3, 5): 14, (3, 7): 21, (4, 7): 28}
_LSKA_SIZES = {
  (2, 3): 7, (2, 5): 11, (3, 7): 23, (3, 11): 35, (3, 13): 41, (3, 17): 53,
}  # fmt: skip
_LAYER_SCALE_INIT = 1e-2  # Trained away; kept to say that there is a scale.
_GATE = "block{s}_{j}/attn/spatial_gating_unit"
_CONVS = {
  "conv0": "depthwise",
  "conv_spatial": "dilated",
  "conv1": "pointwise",
}

Shapes = Mapping[keys.Entry, tuple[int, ...]]


def architecture(
  shapes: Shapes, *, layer_norm_epsilon: float
) -> dict[str, Any]:
  """Returns the fields for `models.from_architecture`.

  Sizes are what most arrays agree on, so that one array of a wrong shape does
  not mislead the rest. The gate cannot be seen in shapes: it is "multiply".

  Args:
    shapes: foreign shapes of the arrays that a file has.
    layer_norm_epsilon: of the project that trained the weights.

  Raises:
    UserError: if a stage is missing.
  """
  widths = [_width(shapes, stage) for stage in (1, 2, 3, 4)]
  has = {entry.module for entry in shapes}
  heads = [entry for entry in shapes if entry.module == key_tables.HEAD]
  return {
    "widths": widths,
    "depths": [_depth(shapes, stage) for stage in (1, 2, 3, 4)],
    "ffn_ratios": [
      _ratio(shapes, stage, width)
      for stage, width in enumerate(widths, start=1)
    ],
    "num_classes": _num_classes(shapes) if heads else 0,
    "layer_scale_init": (
      _LAYER_SCALE_INIT
      if has & {f"block{{s}}_{{j}}/layer_scale_{n}" for n in (1, 2)}
      else None
    ),
    "attention": _attention(shapes, has),
    "layer_norm_epsilon": layer_norm_epsilon,
  }


def _common(values: Iterable[Any], what: str) -> Any:
  """Returns the most common of the values."""
  counts = collections.Counter(values)
  if not counts:
    raise errors.UserError(
      f"these are not all of VAN's weights: nothing in them says {what}; give "
      "a file of the whole network."
    )
  return counts.most_common(1)[0][0]


def _width(shapes: Shapes, stage: int) -> int:
  return _common(
    (
      shape[0]
      for entry, shape in shapes.items()
      if entry.stage == stage
      and "norm" in entry.module  # All of them are as wide as the stage.
      and len(shape) == 1
      and shape[0]
    ),
    f"how wide stage {stage} is",
  )


def _depth(shapes: Shapes, stage: int) -> int:
  blocks = [
    entry.block
    for entry in shapes
    if entry.stage == stage and entry.module.startswith("block")
  ]
  # More blocks than arrays are a damaged name.
  return 1 + max((b for b in blocks if b < len(shapes)), default=0)


def _ratio(shapes: Shapes, stage: int, width: int) -> int | float:
  hidden = _common(
    (
      shape[0]
      for entry, shape in shapes.items()
      if entry.stage == stage
      and entry.module in ("block{s}_{j}/mlp/fc1", "block{s}_{j}/mlp/dwconv")
      and shape
    ),
    f"how wide the feed-forwards of stage {stage} are",
  )
  return hidden // width if hidden % width == 0 else hidden / width


def _num_classes(shapes: Shapes) -> int:
  biases = [
    shape[0]
    for entry, shape in shapes.items()
    if entry.module == key_tables.HEAD and len(shape) == 1
  ]
  matrices = [
    entry.array.layout.shape_here(shape)[1]
    for entry, shape in shapes.items()
    if entry.module == key_tables.HEAD and len(shape) == 2
  ]
  return _common(biases + matrices, "how many classes there are")


def _attention(shapes: Shapes, has: set[str]) -> dict[str, Any]:
  """Returns the attention that has these convolutions."""
  if f"{_GATE}/conv0h" in has:
    taps = _taps(shapes, "conv0h", 5), _taps(shapes, "conv_spatial_h", 7)
    return {"name": "lska", **_kernel(*taps, _LSKA_SIZES)}
  if f"{_GATE}/conv0_1" in has:
    sizes = [
      _taps(shapes, f"conv{i}_1", default)
      for i, default in enumerate(MultiScaleConvAttention.kernel_sizes)
    ]
    return {"name": "msca", "kernel_sizes": sizes}
  convs = [name for conv, name in _CONVS.items() if f"{_GATE}/{conv}" in has]
  taps = _taps(shapes, "conv0", 5), _taps(shapes, "conv_spatial", 7)
  return {
    "name": "lka",
    "convs": convs or list(_CONVS.values()),  # None at all: all are missed.
    **_kernel(*taps, _LKA_SIZES),
  }


def _kernel(
  first: int, second: int, known: Mapping[tuple[int, int], int]
) -> dict[str, int]:
  """Returns kernel size and dilation of kernels with so many taps a side."""
  dilation = (first + 1) // 2
  kernel_size = known.get((dilation, second), dilation * second)
  return {"kernel_size": kernel_size, "dilation": dilation}


def _taps(shapes: Shapes, conv: str, default: int) -> int:
  """Returns how wide most kernels of a convolution's name are."""
  sizes = [
    shape[-1]
    for entry, shape in shapes.items()
    if entry.module == f"{_GATE}/{conv}" and len(shape) == 4
  ]
  return _common(sizes or [default], "")
