"""What mmsegmentation's files say beside the weights, and what its code runs.

The config that is written is the network's as VAN-Segmentation and
mmsegmentation 0.12 to 1.2 build it, for a person to start theirs from, and for
our own reader, which learns from it what no weight tells.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from van_jax import errors, models
from van_jax.data.images.dense_preprocessing import DensePreprocessing
from van_jax.interop.facts import stage_norms

# VAN-Segmentation's first classes, by our variants; later there is VAN alone.
_OLD_CLASSES = {
  "van_b0": "van_tiny",
  "van_b1": "van_small",
  "van_b2": "van_base",
  "van_b3": "van_large",
}
_PIXEL = 255


def check(model: models.Segmenter) -> None:
  """Raises UserError unless its heads are mmsegmentation's."""
  for field in ("head", "auxiliary"):
    head = getattr(model, field)
    known = ("fpn", "upernet", "fcn") if field == "head" else ("fcn",)
    if head is not None and head["name"] not in known:
      raise errors.UserError(
        f"the model's {field} is {head['name']}, and mmsegmentation's code is "
        f"written for {', '.join(known)} here; keep the bundle."
      )


def epsilon(van: models.VAN) -> float:
  """Returns the stage norms' epsilon of the class that `meta` names."""
  return stage_norms.OLD if _is_old(van) else stage_norms.NEW


def meta(
  model: models.Segmenter,
  preprocessing: DensePreprocessing,
  labels: Sequence[str] | None,
  colors: Sequence[Sequence[int]] | None,
) -> dict[str, Any]:
  """Returns a checkpoint's "meta", for versions 0 and 1; plain values.

  Args:
    model: of the weights.
    preprocessing: that belongs to them.
    labels: one name a class.
    colors: one a class.
  """
  found: dict[str, Any] = {"config": _config(model, preprocessing)}
  if labels:
    found["CLASSES"] = list(labels)
  if colors:
    found["PALETTE"] = [list(color) for color in colors]
  return found


def _is_old(van: models.VAN) -> bool:
  known = models.variant_name(van) in _OLD_CLASSES
  return known and van.layer_norm_epsilon == stage_norms.OLD


def _config(model: models.Segmenter, shown: DensePreprocessing) -> str:
  """Returns the Python text of the network and of its test images."""
  fields = {
    "type": "EncoderDecoder",
    "backbone": _backbone(model.backbone),
    **_heads(model),
    "test_cfg": {"mode": "whole"},
  }
  resize = {"type": "Resize", "keep_ratio": True}
  if shown.multiple > 1:
    resize |= {"type": "AlignResize", "size_divisor": shown.multiple}
  statistics = {
    name: [round(_PIXEL * value, 6) for value in getattr(shown, name)]
    for name in ("mean", "std")
  }
  whole = {} if shown.scale else {"img_ratios": 1.0}  # Of the image's own size.
  test = {
    "type": "MultiScaleFlipAug",
    "img_scale": shown.scale,
    **whole,
    "flip": False,
    "transforms": [resize, {"type": "Normalize", **statistics, "to_rgb": True}],
  }
  return f"model = {_text(fields)}\ntest_pipeline = [\n    {_text(test)}\n]\n"


def _backbone(van: models.VAN) -> dict[str, Any]:
  if _is_old(van):
    return {"type": _OLD_CLASSES[str(models.variant_name(van))]}
  return {
    "type": "VAN",
    "embed_dims": list(van.widths),
    "mlp_ratios": list(van.ffn_ratios),
    "depths": list(van.depths),
    "drop_path_rate": van.drop_path_rate,
  }


def _heads(model: models.Segmenter) -> dict[str, Any]:
  """Returns the neck and the heads."""
  head, widths = model.head, list(model.backbone.widths)
  shared = {
    "num_classes": model.num_classes,
    "norm_cfg": {"type": "SyncBN", "requires_grad": True},
    "align_corners": False,
  }
  all_maps = {"in_index": [0, 1, 2, 3], "in_channels": widths, **shared}
  found: dict[str, Any] = {}
  if head["name"] == "fpn":
    pyramid = head["pyramid_channels"]
    found["neck"] = {
      "type": "FPN",
      "in_channels": widths,
      "out_channels": pyramid,
      "num_outs": 4,
    }
    found["decode_head"] = {
      "type": "FPNHead",
      "feature_strides": [4, 8, 16, 32],
      **_sizes(head),
      **all_maps,
      "in_channels": [pyramid] * 4,
    }
  elif head["name"] == "upernet":
    found["decode_head"] = {
      "type": "UPerHead",
      "pool_scales": head["pool_scales"],
      **_sizes(head),
      **all_maps,
    }
  else:
    found["decode_head"] = _fcn(head, widths) | shared
  if model.auxiliary is not None:
    found["auxiliary_head"] = _fcn(model.auxiliary, widths) | shared
  return found


def _fcn(head: Mapping[str, Any], widths: Sequence[int]) -> dict[str, Any]:
  return {
    "type": "FCNHead",
    "in_index": head["stage"] - 1,
    "in_channels": widths[head["stage"] - 1],
    "num_convs": head["convs"],
    "concat_input": False,
    **_sizes(head),
  }


def _sizes(head: Mapping[str, Any]) -> dict[str, Any]:
  return {"channels": head["channels"], "dropout_ratio": head["dropout_rate"]}


def _text(value: Any) -> str:
  """Returns a value as mmcv's configs have it."""
  if isinstance(value, Mapping):
    items = ", ".join(f"{name}={_text(value[name])}" for name in value)
    return f"dict({items})"
  if isinstance(value, list):
    return f"[{', '.join(map(_text, value))}]"
  return repr(value)
