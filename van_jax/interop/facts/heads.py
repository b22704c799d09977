"""Reads a segmenter's heads from the shapes of their weights."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from van_jax import errors
from van_jax.interop.facts import training_config
from van_jax.interop.names import keys, segmenters
from van_jax.models.heads.fcn import FCNHead
from van_jax.models.heads.upernet import UPerNet

Shapes = Mapping[keys.Entry, tuple[int, ...]]

_BACKBONE_ONLY = (
  "--backbone_only (backbone_only=True in Python) takes the backbone"
)
_DECODE, _AUXILIARY = segmenters.DECODE, segmenters.AUXILIARY


def architecture(
  shapes: Shapes, *, widths: Sequence[int], config: str
) -> dict[str, Any]:
  """Returns the fields of `models.Segmenter` but for the backbone.

  Args:
    shapes: foreign shapes of the heads' arrays.
    widths: of the backbone's stages.
    config: of the training, as text, which tells what no shape does; "" for
      none.

  Raises:
    UserError: for heads that are not among ours.
  """
  training_config.check_corners(config)
  modules = {entry.module for entry in shapes}
  if f"{_DECODE}/scale_heads_{{z}}_{{j}}/conv" in modules:
    head = _semantic_fpn(shapes)
  elif f"{_DECODE}/psp_modules_{{z}}_{{j}}/conv" in modules:
    head = _upernet(shapes, config)
  elif f"{_DECODE}/convs_{{z}}/conv" in modules:
    head = _fcn(shapes, _DECODE, widths)
  else:
    raise errors.UserError(
      "its decode_head is none of Semantic FPN (scale_heads), UPerNet "
      f"(psp_modules) and FCN (convs); {_BACKBONE_ONLY}."
    )
  auxiliary = None
  if any(entry.module.startswith(_AUXILIARY) for entry in shapes):
    auxiliary = _fcn(shapes, _AUXILIARY, widths)
    auxiliary |= _dropout(config, _AUXILIARY)
  return {
    "head": head | _dropout(config, _DECODE),
    "auxiliary": auxiliary,
    "num_classes": _out(shapes, [f"{_DECODE}/conv_seg"], "classes"),
  }


def _dropout(config: str, part: str) -> dict[str, float]:
  """Returns a head's field that no weight depends on, where it is known."""
  rate = training_config.dropout_rate(config, part)
  return {} if rate is None else {"dropout_rate": rate}


def _semantic_fpn(shapes: Shapes) -> dict[str, Any]:
  units = [f"{_DECODE}/scale_heads_{{z}}_{{j}}/conv"]
  return {
    "name": "fpn",
    "channels": _out(shapes, units, "channels of scale_heads"),
    "pyramid_channels": _out(
      shapes, [segmenters.LATERAL, segmenters.PYRAMID], "channels of the neck"
    ),
  }


def _upernet(shapes: Shapes, config: str) -> dict[str, Any]:
  pools = f"{_DECODE}/psp_modules_{{z}}_{{j}}/conv"
  count = _count(shapes, pools)
  scales = training_config.pool_scales(config) or UPerNet.pool_scales
  if len(scales) != count:
    raise errors.UserError(
      f"its decode_head pools at {count} scales, and what is known of them, "
      f"pool_scales={scales}, are {len(scales)}; {_BACKBONE_ONLY}."
    )
  units = [f"{_DECODE}/fpn_bottleneck/conv", f"{_DECODE}/bottleneck/conv"]
  return {
    "name": "upernet",
    "channels": _out(shapes, [pools, *units], "channels of the decode_head"),
    "pool_scales": list(scales),
  }


def _fcn(shapes: Shapes, part: str, widths: Sequence[int]) -> dict[str, Any]:
  units = f"{part}/convs_{{z}}/conv"
  wide = _common(
    shape[1]
    for entry, shape in shapes.items()
    if entry.module == units and entry.stage == 1 and len(shape) == 4
  )
  if wide not in widths:
    raise errors.UserError(
      f"its {part} is not an FCN on a map of the backbone: {part}.convs.0 has "
      f"{wide or 'no'} channels to read, and the stages have "
      f"{', '.join(map(str, widths))}; {_BACKBONE_ONLY}."
    )
  return {
    "name": "fcn",
    "stage": _stage(wide, widths),
    "channels": _out(shapes, [units], f"channels of the {part}"),
    "convs": _count(shapes, units),
  }


def _stage(width: int, widths: Sequence[int]) -> int:
  """Returns the stage of a width; of several the published head's."""
  usual = FCNHead.stage
  return usual if widths[usual - 1] == width else list(widths).index(width) + 1


def _count(shapes: Shapes, module: str) -> int:
  """Returns how many a list of modules has."""
  places = [entry.stage for entry in shapes if entry.module == module]
  # More items than arrays are a damaged name.
  return max((n for n in places if n <= len(shapes)), default=0)


def _out(shapes: Shapes, modules: Sequence[str], what: str) -> int:
  """Returns how many channels most kernels of some modules give."""
  found = _common(
    shape[0]
    for entry, shape in shapes.items()
    if entry.module in modules and shape
  )
  if not found:
    raise errors.UserError(
      f"nothing in its weights says how many {what} there are; give a file of "
      f"the whole network, or {_BACKBONE_ONLY}."
    )
  return found


def _common(values: Iterable[int]) -> int:
  """Returns the most common of some numbers; 0 for none."""
  counts = collections.Counter(values)
  return counts.most_common(1)[0][0] if counts else 0
