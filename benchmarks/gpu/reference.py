"""Operations in PyTorch, in float64 on the host, with their gradients.

Depthwise convolutions are sums over taps: PyTorch's own take seconds each in
float64.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional


def results(
  function: Callable[..., Any],
  arrays: Sequence[np.ndarray],
  gradient: np.ndarray,
) -> list[np.ndarray]:
  """Returns an operation's result, and a gradient for each array.

  Args:
    function: of tensors.
    arrays: float64.
    gradient: of the result.
  """
  tensors = [torch.from_numpy(array).requires_grad_() for array in arrays]
  y = function(*tensors)
  gradients = torch.autograd.grad(y, tensors, torch.from_numpy(gradient))
  return [y.detach().numpy(), *(g.numpy() for g in gradients)]


def error(found: Any, exact: np.ndarray) -> float:
  """Returns the norm of the difference over the norm; inf for no number."""
  found = np.asarray(found, np.float64)
  if found.shape != exact.shape or not np.isfinite(found).all():
    return float("inf")
  return float(
    np.linalg.norm(found - exact) / max(np.linalg.norm(exact), 1e-30)
  )


def depthwise(x: Any, kernel: Any, bias: Any, dilation: int) -> Any:
  """Maps [B, H, W, C], with a kernel of [kh, kw, 1, C], to [B, H, W, C]."""
  _, height, width, _ = x.shape
  rows, columns = kernel.shape[:2]
  down, across = dilation * (rows - 1), dilation * (columns - 1)
  padded = functional.pad(
    x,
    (0, 0, across // 2, across - across // 2, down // 2, down - down // 2),
  )
  y = bias.expand_as(x)
  for i in range(rows):
    for j in range(columns):
      top, left = i * dilation, j * dilation
      window = padded[:, top : top + height, left : left + width]
      y = y + window * kernel[i, j, 0]
  return y


def depthwise_gelu(
  x: Any, kernel: Any, bias: Any, input_bias: Any, dilation: int
) -> Any:
  """Returns GELU of the convolution of x + input_bias."""
  return functional.gelu(depthwise(x + input_bias, kernel, bias, dilation))


def pointwise(x: Any, kernel: Any) -> Any:
  """Maps [B, H, W, C], with a kernel of [C, F], to [B, H, W, F]."""
  return x @ kernel


def strided(x: Any, kernel: Any, stride: int, padding: int) -> Any:
  """Maps [B, H, W, C], with a kernel of [kh, kw, C, D], to [B, H', W', D]."""
  y = functional.conv2d(
    x.permute(0, 3, 1, 2),
    kernel.permute(3, 2, 0, 1),
    stride=stride,
    padding=padding,
  )
  return y.permute(0, 2, 3, 1)


def resized(x: Any, size: tuple[int, int]) -> Any:
  """Maps [B, H, W, C] to [B, *size, C]."""
  y = functional.interpolate(
    x.permute(0, 3, 1, 2), size, mode="bilinear", align_corners=False
  )
  return y.permute(0, 2, 3, 1)


def pooled(x: Any, size: int) -> Any:
  """Maps [B, H, W, C] to [B, size, size, C], cells' averages."""
  y = functional.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), size)
  return y.permute(0, 2, 3, 1)


def quicken(network: Any) -> None:
  """Has a network's depthwise convolutions be the sums over taps."""
  for module in network.modules():
    if getattr(module, "groups", 1) > 1:
      module.forward = _taps_of(module)


def _taps_of(conv):
  def forward(x):
    kernel = conv.weight.permute(2, 3, 1, 0)
    y = depthwise(x.permute(0, 2, 3, 1), kernel, conv.bias, conv.dilation[0])
    return y.permute(0, 3, 1, 2)

  return forward
