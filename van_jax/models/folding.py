"""BatchNorm and layer scales folded into the kernels beside them."""

from collections.abc import Mapping
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np

from van_jax import errors
from van_jax.models.batch_norm import EPSILON
from van_jax.models.heads import table
from van_jax.models.segmenter import Segmenter
from van_jax.models.van import VAN

Arrays = Mapping[str, Any]
_Model = TypeVar("_Model", VAN, Segmenter)
_HEADS = {"decode_head": table.HEAD, "auxiliary_head": table.AUXILIARY}


def fold_batch_norm(
  model: _Model, variables: Mapping[str, Any]
) -> tuple[_Model, dict[str, Any]]:
  """Returns the same network for inference, without its normalisation passes.

  Running statistics make BatchNorm a scale and a shift a channel. After a
  convolution (patch embeddings) they go into its kernel and bias; before a 1x1
  convolution (blocks) into its input rows and bias. Layer scales go into the
  last 1x1 convolution of each half. Attention adds its normalised input to
  itself, which leaves one scale a channel on the block's own shortcut. What is
  between its two 1x1 convolutions stays as it is, and so do its statistics.
  In a segmenter's heads BatchNorm follows a convolution, which takes it in.
  The arithmetic is in float64; results differ by rounding.

  Args:
    model: not folded; a segmenter's heads are of `HEADS`.
    variables: {"params": ..., "batch_stats": ...} of the model.

  Returns:
    the model with `folded=True`, and its {"params": ...}; "batch_stats" too
    where the attention has statistics of its own.

  Raises:
    UserError: if the model is folded already, or has a stranger's head.
  """
  if isinstance(model, Segmenter):
    return _folded_segmenter(model, variables)
  if model.folded:
    raise errors.UserError("folded=True: the network is folded already.")
  params, stats = variables["params"], variables["batch_stats"]
  folded, kept = {}, {}
  for name, layer in params.items():
    if name.startswith("patch_embed"):
      factor, shift = _affine(layer["norm"], stats[name]["norm"])
      folded[name] = {"proj": _scaled_out(layer["proj"], factor, shift)}
    elif name.startswith("block"):
      folded[name] = _folded_block(layer, stats[name])
      if "attn" in stats[name]:
        kept[name] = {"attn": stats[name]["attn"]}
    else:
      folded[name] = layer
  result = {"params": folded} | ({"batch_stats": kept} if kept else {})
  return model.clone(folded=True), result


def _folded_segmenter(
  model: Segmenter, variables: Mapping[str, Any]
) -> tuple[Segmenter, dict[str, Any]]:
  for choice in _HEADS.values():
    head = getattr(model, choice.field)
    if head is not None and not isinstance(head["name"], str):
      raise errors.UserError(
        f"{choice.field}={choice.label(head['name'])!r} cannot be folded: its "
        "norms are not known; leave fold_batch_norm out."
      )
  parts = {kind: dict(arrays) for kind, arrays in variables.items()}
  backbone, result = fold_batch_norm(
    model.backbone, {kind: part.pop("backbone") for kind, part in parts.items()}
  )
  result = {kind: {"backbone": tree} for kind, tree in result.items()}
  stats = parts["batch_stats"]
  for name, head in parts["params"].items():
    result["params"][name] = _folded_convs(head, stats.get(name, {}))
  return model.clone(backbone=backbone), result


def _folded_convs(layers: Arrays, stats: Arrays) -> dict[str, Any]:
  """Returns a head's parameters, each norm in the convolution before it."""
  if "bn" in layers:
    factor, shift = _affine(layers["bn"], stats["bn"])
    conv = {"kernel": layers["conv"]["kernel"], "bias": 0}
    return {"conv": _scaled_out(conv, factor, shift)}
  return {
    name: _folded_convs(layer, stats.get(name, {}))
    if isinstance(layer, Mapping)
    else layer
    for name, layer in layers.items()
  }


def _folded_block(layer: Arrays, stats: Arrays) -> dict[str, Any]:
  attention, feed_forward = dict(layer["attn"]), dict(layer["mlp"])
  factor, shift = _affine(layer["norm1"], stats["norm1"])
  scale = np.asarray(layer.get("layer_scale_1", 1), np.float64)
  attention["proj_1"] = _scaled_in(attention["proj_1"], factor, shift)
  attention["proj_2"] = _scaled_out(attention["proj_2"], scale, scale * shift)
  shortcut = 1 + scale * factor
  factor, shift = _affine(layer["norm2"], stats["norm2"])
  scale = np.asarray(layer.get("layer_scale_2", 1), np.float64)
  feed_forward["fc1"] = _scaled_in(feed_forward["fc1"], factor, shift)
  feed_forward["fc2"] = _scaled_out(feed_forward["fc2"], scale, 0)
  return {
    "attn": attention,
    "mlp": feed_forward,
    "shortcut_scale": jnp.asarray(shortcut, jnp.float32),
  }


def _affine(norm: Arrays, stats: Arrays) -> tuple[np.ndarray, np.ndarray]:
  """Returns a BatchNorm's factor and shift, float64 [C]."""
  var = np.asarray(stats["var"], np.float64)
  factor = np.asarray(norm["scale"], np.float64) / np.sqrt(var + EPSILON)
  mean = np.asarray(stats["mean"], np.float64)
  return factor, np.asarray(norm["bias"], np.float64) - mean * factor


def _scaled_in(conv: Arrays, factor: Any, shift: Any) -> dict[str, Any]:
  """Returns the 1x1 convolution of factor * x + shift."""
  kernel = np.asarray(conv["kernel"], np.float64)
  bias = conv["bias"] + shift @ kernel[0, 0]
  return _as_float32(kernel * factor[:, None], bias)


def _scaled_out(conv: Arrays, factor: Any, shift: Any) -> dict[str, Any]:
  """Returns the convolution whose result y is factor * y + shift."""
  kernel = np.asarray(conv["kernel"], np.float64)
  bias = np.asarray(conv["bias"], np.float64)
  return _as_float32(kernel * factor, bias * factor + shift)


def _as_float32(kernel: np.ndarray, bias: np.ndarray) -> dict[str, Any]:
  return {
    "kernel": jnp.asarray(kernel, jnp.float32),
    "bias": jnp.asarray(bias, jnp.float32),
  }
