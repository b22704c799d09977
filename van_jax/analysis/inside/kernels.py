"""The depthwise kernels of a block, and the one large kernel they make."""

from typing import Any

import flax.linen as nn
import numpy as np

from van_jax import errors, models
from van_jax.analysis.inside import probe
from van_jax.models.attention import lka, table

# The depthwise convolutions that follow one another.
_IN_ORDER = {
  "lka": ("conv0", "conv_spatial"),
  "lska": ("conv0h", "conv0v", "conv_spatial_h", "conv_spatial_v"),
}


def depthwise_kernels(
  model: nn.Module, variables: Any, *, block: str, images: Any = None
) -> dict[str, np.ndarray]:
  """Returns the depthwise kernels of a block's attention, [h, w, C] by name.

  Args:
    model: a VAN, or a module that holds one.
    variables: of the model.
    block: "stage4/block1", say; stages count from 1 and blocks from 0.
    images: that a module around a VAN takes, or their shape; None for 64 x 64.

  Raises:
    UserError: for a block that is not there, or has no depthwise kernel.
  """
  path, van = probe.find_van(model, variables, images)
  return _depthwise(_unit(variables, path, van, block), van)


def composed_kernel(
  model: nn.Module, variables: Any, *, block: str, images: Any = None
) -> np.ndarray:
  """Returns a block's large kernel, one a channel, [n, n, C] float32.

  One depthwise convolution with it does what LKA's two, LSKA's four or MSCA's
  branches do, but for biases, and for the edges of the map: between two
  convolutions the map is cut to its size, and the pixels beyond it are zeros.
  n is `reach.attention_extent`. The 1x1 convolution after them mixes
  channels and is in no kernel.

  Args:
    model: a VAN, or a module that holds one, with an attention of van_jax's.
    variables: of the model.
    block: "stage4/block1", say; stages count from 1 and blocks from 0.
    images: that a module around a VAN takes, or their shape; None for 64 x 64.

  Raises:
    UserError: for a block that is not there, or an attention whose depthwise
      kernels are not known to make one.
  """
  path, van = probe.find_van(model, variables, images)
  own = _depthwise(_unit(variables, path, van, block), van)
  name = van.attention["name"]
  if name == "msca":
    return _msca(own, len(van.attention["kernel_sizes"])).astype(np.float32)
  if name not in _IN_ORDER:
    raise errors.UserError(
      f"attention {table.label(table.module_class(name))} is none of "
      f"{', '.join(table.ATTENTIONS)}: how its kernels follow one another is "
      "not known; see them one by one with depthwise_kernels."
    )
  dilation = van.attention["dilation"]
  result = np.ones((1, 1, 1))
  for layer in _IN_ORDER[name]:
    if layer in own:  # An ablation may leave one out.
      apart = dilation if layer.startswith("conv_spatial") else 1
      result = compose(result, own[layer], dilation=apart)
  return result.astype(np.float32)


def compose(
  first: np.ndarray, second: np.ndarray, *, dilation: int = 1
) -> np.ndarray:
  """Returns the kernel of two depthwise convolutions, one after the other.

  Networks correlate, y[p] = sum of k[q] x[p + q], and correlating with one
  kernel and then with another is correlating with the convolution of the two:
  at s the sum of first[q] second[r] over q + dilation * r = s.

  Args:
    first: [h, w, C].
    second: [h', w', C], dilated or not.
    dilation: pixels between the second one's taps.

  Returns:
    [h + (h' - 1) dilation, w + (w' - 1) dilation, C] float64.
  """
  height, width, _ = first.shape
  more_height, more_width, channels = second.shape
  result = np.zeros(
    (
      height + (more_height - 1) * dilation,
      width + (more_width - 1) * dilation,
      max(first.shape[2], channels),
    )
  )
  for i, j in np.ndindex(more_height, more_width):
    top, left = i * dilation, j * dilation
    result[top : top + height, left : left + width] += (
      first.astype(np.float64) * second[i, j]
    )
  return result


def _msca(own: dict[str, np.ndarray], branches: int) -> np.ndarray:
  """Returns MSCA's kernel: the base, and each branch of it, added up."""
  base = own["conv0"]
  parts = [base.astype(np.float64)]
  for i in range(branches):
    row = compose(base, own[f"conv{i}_1"])
    parts.append(compose(row, own[f"conv{i}_2"]))
  size = max(part.shape[0] for part in parts)
  result = np.zeros((size, size, base.shape[2]))
  for part in parts:
    n = part.shape[0]
    start = (size - 1) // 2 - (n - 1) // 2  # Centre on centre.
    result[start : start + n, start : start + n] += part
  return result


def _unit(
  variables: Any, path: probe.Path, van: models.VAN, block: str
) -> dict[str, Any]:
  """Returns the parameters of a block's attention proper."""
  params = variables["params"]
  for name in (*path, probe.find_block(van, block), *probe.GATING_UNIT):
    params = params.get(name, {})  # It may have none.
  return params


def _depthwise(unit: dict[str, Any], van: models.VAN) -> dict[str, np.ndarray]:
  """Returns the kernels [h, w, 1, C] of an attention, without the 1."""
  found = {
    name: np.asarray(unit[name]["kernel"])[:, :, 0]
    for name in sorted(unit)
    if _is_depthwise(unit[name])
  }
  if not found:
    label = table.label(table.module_class(van.attention["name"]))
    dense = van.attention.get("convs") == lka.DENSE
    raise errors.UserError(
      f"attention {label}{' with convs=(dense,)' if dense else ''} has no "
      "depthwise kernels, [h, w, 1, C]; there is nothing to show."
    )
  return found


def _is_depthwise(layer: Any) -> bool:
  kernel = layer.get("kernel") if hasattr(layer, "get") else None
  return kernel is not None and kernel.ndim == 4 and kernel.shape[2] == 1
