"""Large separable kernel attention: LKA with kernels of one dimension."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from van_jax import errors
from van_jax.models import layers
from van_jax.models.attention.gates import check_gate, gated
from van_jax.models.attention.sizes import check_sizes


class LargeSeparableKernelAttention(nn.Module):
  """Gates its input with a large-kernel view, two axes one by one.

  arXiv:2309.01439: each depthwise kernel of LKA becomes a row, then a column:
  1 x (2d - 1), (2d - 1) x 1, then with dilation d 1 x floor(K / d),
  floor(K / d) x 1, then the 1x1 convolution. The paper has d = 3 for K of 23,
  35, 41 and 53, and d = 2 for K of 7 and 11.

  Attributes:
    kernel_size: K.
    dilation: d, at most K.
    gate: how the view meets the input, one of GATES.
    depthwise: makes a depthwise convolution.
    pointwise: makes a 1x1 convolution.
  """

  kernel_size: int = 23
  dilation: int = 3
  gate: str = "multiply"
  depthwise: Callable[..., Any] = layers.Depthwise
  pointwise: Callable[..., Any] = layers.Pointwise

  def __post_init__(self):
    check_sizes(kernel_size=self.kernel_size, dilation=self.dilation)
    check_gate(self.gate)
    if self.kernel_size < self.dilation:
      raise errors.UserError(
        f"kernel_size={self.kernel_size} must be at least dilation="
        f"{self.dilation}; no taps would be left."
      )
    super().__post_init__()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, C]."""
    near, far = 2 * self.dilation - 1, self.kernel_size // self.dilation
    apart = {"dilation": self.dilation}
    view = self.depthwise((1, near), name="conv0h")(x)
    view = self.depthwise((near, 1), name="conv0v")(view)
    view = self.depthwise((1, far), **apart, name="conv_spatial_h")(view)
    view = self.depthwise((far, 1), **apart, name="conv_spatial_v")(view)
    view = self.pointwise(x.shape[-1], name="conv1")(view)
    return gated(self, x, view, self.gate)
