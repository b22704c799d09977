"""What mmsegmentation calls a segmenter's weights: its heads', and its neck's.

They are the names of versions 0.12 to 1.2, FPN, FPNHead, UPerHead and FCNHead;
those of the backbone stand below "backbone.", and are its own project's.
"""

import dataclasses
import functools
from collections.abc import Callable

from van_jax.interop.names import key_tables, keys

BACKBONE, DECODE, AUXILIARY, NECK = PARTS = (
  "backbone",
  "decode_head",
  "auxiliary_head",
  "neck",
)
LATERAL = f"{DECODE}/{NECK}/lateral_convs_{{z}}/conv"
PYRAMID = f"{DECODE}/{NECK}/fpn_convs_{{z}}/conv"
# A convolution with BatchNorm each: our name, and theirs.
_UNITS = {
  f"{DECODE}/scale_heads_{{z}}_{{j}}": f"{DECODE}.scale_heads.{{z}}.{{j}}",
  f"{DECODE}/psp_modules_{{z}}_{{j}}": f"{DECODE}.psp_modules.{{z}}.{{j}}",
  f"{DECODE}/bottleneck": f"{DECODE}.bottleneck",
  f"{DECODE}/lateral_convs_{{z}}": f"{DECODE}.lateral_convs.{{z}}",
  f"{DECODE}/fpn_convs_{{z}}": f"{DECODE}.fpn_convs.{{z}}",
  f"{DECODE}/fpn_bottleneck": f"{DECODE}.fpn_bottleneck",
  f"{DECODE}/convs_{{z}}": f"{DECODE}.convs.{{z}}",
  f"{AUXILIARY}/convs_{{z}}": f"{AUXILIARY}.convs.{{z}}",
}
_MODULES = {
  # The neck is a part of the head here, and of the network there.
  LATERAL: f"{NECK}.lateral_convs.{{z}}.conv",
  PYRAMID: f"{NECK}.fpn_convs.{{z}}.conv",
  **{f"{ours}/conv": f"{theirs}.conv" for ours, theirs in _UNITS.items()},
  **{f"{ours}/bn": f"{theirs}.bn" for ours, theirs in _UNITS.items()},
  f"{DECODE}/conv_seg": f"{DECODE}.conv_seg",
  f"{AUXILIARY}/conv_seg": f"{AUXILIARY}.conv_seg",
}
HEADS = keys.Dialect(
  key_tables.KeyTable(
    name="mmsegmentation",
    modules=_MODULES,
    arrays=key_tables.TORCH,
    prefixes=("",),
    kinds={
      module: "batch_norm" if module.endswith("/bn") else "conv"
      for module in _MODULES
    },
  ),
  "",
)


def entry_of_path(path: str, backbone: keys.Dialect) -> keys.Entry:
  """Returns the entry of an array of a segmenter of ours.

  Args:
    path: such as "params/decode_head/conv_seg/bias".
    backbone: names of the backbone's arrays.

  Raises:
    UserError: if mmsegmentation has no name for it.
  """
  collection, _, name = path.partition("/")
  part, _, inside = name.partition("/")
  if part != BACKBONE:
    return keys.entry_of_path(path, HEADS)
  entry = keys.entry_of_path(f"{collection}/{inside}", backbone)
  return dataclasses.replace(entry, path=path)


def official(*, dense: bool) -> Callable[[str], keys.Entry]:
  """Returns what gives an array's name in the authors' own code.

  Args:
    dense: whether it is a segmenter's array, and not a VAN's.
  """
  table = key_tables.OFFICIAL
  if not dense:
    return functools.partial(
      keys.entry_of_path, dialect=keys.Dialect(table, "")
    )
  backbone = keys.Dialect(table, f"{BACKBONE}.")
  return functools.partial(entry_of_path, backbone=backbone)
