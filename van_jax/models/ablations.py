"""Published ablations by name: what each changes in VAN, and its figures."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from van_jax import errors, imports
from van_jax.models.van import VAN
from van_jax.models.variants import create_model


@dataclasses.dataclass(frozen=True)
class Ablation:
  """One row.

  Attributes:
    source: the table of arXiv:2202.09741, or the paper that has the attention.
    variant: the network that is changed, a name of `list_models()`.
    attention: as VAN's field takes it.
    layer_scale: whether there are layer scales.
    params: millions as printed; None where no table prints the row.
    flops: G as printed, at 224 x 224 pixels, likewise.
    top1: of ImageNet's validation images, in percent as printed, likewise.
  """

  source: str
  variant: str
  attention: Mapping[str, Any]
  layer_scale: bool
  params: str | None = None
  flops: str | None = None
  top1: str | None = None


# Tables are those of arXiv:2202.09741 as Computational Visual Media 9 (2023)
# prints it. Millions of parameters, G of FLOPs, top-1; then fields of LKA.
_TABLE_3 = {
  "w_o_dw": ("4.1", "0.9", "74.9", {"convs": ("dilated", "pointwise")}),
  "w_o_dw_d": ("4.0", "0.9", "74.1", {"convs": ("depthwise", "pointwise")}),
  "w_o_attention": ("4.1", "0.9", "74.3", {"gate": "none"}),
  "add": ("4.1", "0.9", "74.6", {"gate": "add"}),
  "w_o_1x1": ("3.8", "0.8", "74.6", {"convs": ("depthwise", "dilated")}),
  "sigmoid": ("4.1", "0.9", "75.2", {"gate": "sigmoid"}),
  "dense21": ("124.7", "23.2", "76.0", {"convs": ("dense",)}),
}
_TABLE_6 = {
  "k7_d2": ("4.03", "0.85", "74.8", {"kernel_size": 7, "dilation": 2}),
  "k14_d3": ("4.07", "0.87", "75.3", {"kernel_size": 14, "dilation": 3}),
  "k21_d3": ("4.11", "0.88", "75.4", {"kernel_size": 21, "dilation": 3}),
  "k28_d4": ("4.14", "0.90", "75.4", {"kernel_size": 28, "dilation": 4}),
}
# Here top-1 with layer scales, then without; van_b0 ends Table 3 as well. B3's
# scales are 0.02 M, so that without them it has 44.7, whatever is printed.
_TABLE_7 = {
  "van_b0": ("4.1", "0.9", "75.4", "75.2"),
  "van_b1": ("13.9", "2.5", "81.1", "81.0"),
  "van_b2": ("26.6", "5.0", "82.8", "82.9"),
  "van_b3": ("44.8", "9.0", "83.9", "83.8"),
  "van_b4": ("60.3", "12.2", "84.2", "84.2"),
}
# Kernel size: dilation.
_LSKA = {7: 2, 11: 2, 23: 3, 35: 3, 41: 3, 53: 3}

ABLATIONS = {
  name: Ablation(
    source, "van_b0", {"name": "lka", **fields}, True, params, flops, top1
  )
  for source, rows in (("Table 3", _TABLE_3), ("Table 6", _TABLE_6))
  for name, (params, flops, top1, fields) in rows.items()
}
ABLATIONS |= {
  f"{name}{end}": Ablation(
    "Table 7", name, {"name": "lka"}, not end, params, flops, top1
  )
  for name, (params, flops, *scores) in _TABLE_7.items()
  for end, top1 in zip(("", "_w_o_ls"), scores, strict=True)
}
ABLATIONS |= {
  f"lska{kernel_size}": Ablation(
    "arXiv:2309.01439",
    "van_b0",
    {"name": "lska", "kernel_size": kernel_size, "dilation": dilation},
    True,
  )
  for kernel_size, dilation in _LSKA.items()
}
ABLATIONS["msca"] = Ablation(
  "arXiv:2209.08575", "van_b0", {"name": "msca"}, True
)


def create_ablation(name: str, *, num_classes: int = 1000, **overrides) -> VAN:
  """Returns the network of a row, with other fields as given.

  Args:
    name: a key of `ABLATIONS`.
    num_classes: of the head; 0 for no head.
    **overrides: as of `create_model`; widths and depths, say, for the same
      change to a smaller network.

  Raises:
    UserError: on a name or a field that does not exist, or a bad value.
  """
  if name not in ABLATIONS:
    raise errors.UserError(
      f"name={name!r} is no ablation; {imports.nearest(name, ABLATIONS)}."
    )
  row = ABLATIONS[name]
  own: dict[str, Any] = {"attention": row.attention}
  if not row.layer_scale:
    own["layer_scale_init"] = None
  return create_model(row.variant, num_classes=num_classes, **(own | overrides))
