"""Multi-scale convolutional attention, SegNeXt's."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from van_jax import errors
from van_jax.models import layers
from van_jax.models.attention.gates import gated
from van_jax.models.attention.sizes import check_sizes


class MultiScaleConvAttention(nn.Module):
  """Multiplies its input by a view of it at several scales.

  arXiv:2209.08575, Eq. 1 and Fig. 2: a 5x5 depthwise convolution, plus
  branches of it, a 1 x k and a k x 1 convolution each; the sum goes through a
  1x1 convolution.

  Attributes:
    kernel_sizes: k of each branch.
    depthwise: makes a depthwise convolution.
    pointwise: makes a 1x1 convolution.
  """

  kernel_sizes: tuple[int, ...] = (7, 11, 21)
  depthwise: Callable[..., Any] = layers.Depthwise
  pointwise: Callable[..., Any] = layers.Pointwise

  def __post_init__(self):
    if not isinstance(self.kernel_sizes, tuple) or not self.kernel_sizes:
      raise errors.UserError(
        f"kernel_sizes={self.kernel_sizes!r} must be sizes, one a branch."
      )
    for i, size in enumerate(self.kernel_sizes):
      check_sizes(**{f"kernel_sizes[{i}]": size})
    super().__post_init__()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, C]."""
    base = self.depthwise(5, name="conv0")(x)
    view = base
    for i, size in enumerate(self.kernel_sizes):
      branch = self.depthwise((1, size), name=f"conv{i}_1")(base)
      view = view + self.depthwise((size, 1), name=f"conv{i}_2")(branch)
    view = self.pointwise(x.shape[-1], name="conv3")(view)
    return gated(self, x, view, "multiply")
