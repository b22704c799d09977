"""Runs the PyTorch models on official arrays."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from van_jax import models
from van_jax.interop.readers import torch_file


def stages_and_logits(
  model: models.VAN,
  arrays: Mapping[str, np.ndarray],
  batches: Iterable[np.ndarray],
  *,
  double: bool,
) -> Iterator[list[np.ndarray]]:
  """Yields each batch's stage maps, and its logits, as PyTorch has them.

  Args:
    model: a VAN that the arrays are for.
    arrays: the official state dict.
    batches: normalised images, [B, H, W, 3].
    double: compute in float64 instead of float32.
  """
  network = _loaded(_van(model), arrays, double=double)
  for x in _inputs(batches, double=double):
    maps = network.stages(x)
    yield [*map(_channels_last, maps), network.classify(maps[-1]).numpy()]


def segmenter_outputs(
  model: models.Segmenter,
  arrays: Mapping[str, np.ndarray],
  batches: Iterable[np.ndarray],
  *,
  double: bool,
) -> Iterator[list[np.ndarray]]:
  """Yields each batch's stages, neck's maps, logits and auxiliary ones.

  Args:
    model: a segmenter that the arrays are for.
    arrays: the state dict, of the authors' names.
    batches: normalised images, [B, H, W, 3].
    double: compute in float64 instead of float32.
  """
  network = _loaded(_segmenter(model), arrays, double=double)
  for x in _inputs(batches, double=double):
    maps = network.backbone.stages(x)
    levels = [] if network.neck is None else network.neck(maps)
    outputs = [*maps, *levels, network.decode_head(levels or maps)]
    if network.auxiliary_head is not None:
      outputs.append(network.auxiliary_head(maps))
    yield [_channels_last(output) for output in outputs]


def _inputs(batches: Iterable[np.ndarray], *, double: bool) -> Iterator[Any]:
  """Yields tensors, [B, 3, H, W]."""
  torch = torch_file.library()
  for batch in batches:
    x = torch.from_numpy(batch).permute(0, 3, 1, 2)
    yield x.to(torch.float64 if double else torch.float32)


def _channels_last(x: Any) -> np.ndarray:
  return x.permute(0, 2, 3, 1).numpy()


def _loaded(
  network: Any, arrays: Mapping[str, np.ndarray], *, double: bool
) -> Any:
  """Returns a network with all of these weights, for inference."""
  torch = torch_file.library()
  network.load_state_dict(
    {name: torch.from_numpy(array) for name, array in arrays.items()}
  )
  network = network.requires_grad_(False).eval()
  if double:
    _quicken(network.double())
  return network


def _van(model: models.VAN) -> Any:
  from van_jax.interop.proof import torch_van

  return torch_van.TorchVAN(
    model.widths,
    model.depths,
    model.ffn_ratios,
    num_classes=model.num_classes,
    attention={
      k: v for k, v in model.attention.items() if k not in ("gate", "convs")
    },
    layer_scale_init=model.layer_scale_init,
    layer_norm_epsilon=model.layer_norm_epsilon,
  )


def _segmenter(model: models.Segmenter) -> Any:
  from van_jax.interop.proof import torch_segmenter

  widths, head = model.backbone.widths, model.head
  neck = None
  if head["name"] == "fpn":
    neck = torch_segmenter.FPN(widths, head["pyramid_channels"])
    decode = torch_segmenter.FPNHead(
      model.num_classes, head["channels"], head["pyramid_channels"]
    )
  elif head["name"] == "upernet":
    decode = torch_segmenter.UPerHead(
      widths, model.num_classes, head["channels"], head["pool_scales"]
    )
  else:
    decode = _fcn(model, head)
  auxiliary = model.auxiliary and _fcn(model, model.auxiliary)
  return torch_segmenter.TorchSegmenter(
    _van(model.backbone), decode, neck=neck, auxiliary_head=auxiliary
  )


def _fcn(model: models.Segmenter, fields: Mapping[str, Any]) -> Any:
  from van_jax.interop.proof import torch_segmenter

  return torch_segmenter.FCNHead(
    model.backbone.widths[fields["stage"] - 1],
    model.num_classes,
    fields["channels"],
    fields["convs"],
    index=fields["stage"] - 1,
  )


def _quicken(network: Any) -> None:
  """Takes the place of torch's depthwise convolutions, slow in float64."""
  for module in network.modules():
    if getattr(module, "groups", 1) > 1:
      module.forward = functools.partial(_depthwise, module)


def _depthwise(conv: Any, x: Any) -> Any:
  """Maps [B, C, H, W] to [B, C, H, W], tap by tap."""
  height, width = x.shape[2:]
  (rows, columns), dilation = conv.kernel_size, conv.dilation[0]
  top, left = dilation * (rows - 1) // 2, dilation * (columns - 1) // 2
  padded = x.new_zeros(
    *x.shape[:2],
    height + dilation * (rows - 1),
    width + dilation * (columns - 1),
  )
  padded[:, :, top : top + height, left : left + width] = x
  y = conv.bias[:, None, None].expand_as(x).clone()
  for i in range(rows):
    for j in range(columns):
      window = padded[:, :, i * dilation :, j * dilation :]
      y.addcmul_(window[:, :, :height, :width], conv.weight[:, :, i, j, None])
  return y
