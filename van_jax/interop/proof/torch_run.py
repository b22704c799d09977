"""Runs the PyTorch model on official arrays."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from van_jax.interop.readers import torch_file


def stages_and_logits(
  model: Any,
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
  torch = torch_file.library()
  from van_jax.interop.proof import torch_van

  network = torch_van.TorchVAN(
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
  network.load_state_dict(
    {name: torch.from_numpy(array) for name, array in arrays.items()}
  )
  dtype = torch.float64 if double else torch.float32
  network = network.eval().to(dtype)
  if double:
    _quicken(network)
  for batch in batches:
    with torch.no_grad():
      x = torch.from_numpy(batch).permute(0, 3, 1, 2).to(dtype)
      maps = network.stages(x)
      outputs = [m.permute(0, 2, 3, 1) for m in maps]
      outputs.append(network.classify(maps[-1]))
    yield [output.numpy() for output in outputs]


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
