"""Large kernel attention, and the attention half of VAN's block."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from van_jax import ops
from van_jax.models import layers

GATES = ("multiply", "add", "sigmoid", "none")
CONVS = ("depthwise", "dilated", "pointwise")
DENSE = ("dense",)


class LargeKernelAttention(nn.Module):
  """Gates its input with a large-kernel view of itself; Fig. 2 and 3a.

  A K x K kernel is taken apart (arXiv:2202.09741, Eq. 3) into a depthwise
  (2d - 1) x (2d - 1) convolution, a depthwise ceil(K / d) x ceil(K / d) one
  of dilation d, and a 1x1 convolution. With K = 21 and d = 3 that is 5x5, 7x7
  and 1x1, and it sees 5 + (7 - 1) * 3 = 23 pixels each way, not 21.

  Attributes:
    kernel_size: K.
    dilation: d.
    gate: how the view meets the input: "multiply", "add", "sigmoid" (of the
      view, then multiply) or "none" (the view alone); Table 3.
    convs: which of the three convolutions there are, or ("dense",) for one
      K x K convolution over all channels instead; Table 3.
    conv_implementation: one of `ops.list_implementations()`.
    dtype: of the computation.
  """

  kernel_size: int = 21
  dilation: int = 3
  gate: str = "multiply"
  convs: tuple[str, ...] = CONVS
  conv_implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, C]."""
    channels = x.shape[-1]
    view = x
    if "dense" in self.convs:
      padding = ops.same_padding(self.kernel_size, 1)
      view = nn.Conv(
        channels,
        (self.kernel_size, self.kernel_size),
        padding=(padding, padding),
        kernel_init=layers.conv_init(),
        dtype=self.dtype,
        name="conv_dense",
      )(view)
    if "depthwise" in self.convs:
      view = layers.Depthwise(
        2 * self.dilation - 1,
        implementation=self.conv_implementation,
        dtype=self.dtype,
        name="conv0",
      )(view)
    if "dilated" in self.convs:
      view = layers.Depthwise(
        -(-self.kernel_size // self.dilation),
        dilation=self.dilation,
        implementation=self.conv_implementation,
        dtype=self.dtype,
        name="conv_spatial",
      )(view)
    if "pointwise" in self.convs:
      view = layers.Pointwise(
        channels,
        implementation=self.conv_implementation,
        dtype=self.dtype,
        name="conv1",
      )(view)
    return gated(x, view, self.gate)


def gated(x: jax.Array, view: jax.Array, gate: str) -> jax.Array:
  """Returns x, [B, H, W, C], under its view of the same shape."""
  match gate:
    case "multiply":
      return x * view
    case "add":
      return x + view
    case "sigmoid":
      return x * nn.sigmoid(view)
    case "none":
      return view
  raise ValueError(f"gate={gate!r} must be one of {', '.join(GATES)}.")


class Attention(nn.Module):
  """1x1 convolution, GELU, large kernel attention, 1x1 convolution, plus x.

  Attributes:
    kernel_size: of the attention, before it is taken apart.
    dilation: of the attention.
    gate: how the attention meets its input, one of GATES.
    convs: which convolutions the attention has.
    shortcut: whether x is added; a folded block adds it elsewhere.
    conv_implementation: one of `ops.list_implementations()`.
    dtype: of the computation.
  """

  kernel_size: int = 21
  dilation: int = 3
  gate: str = "multiply"
  convs: tuple[str, ...] = CONVS
  shortcut: bool = True
  conv_implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, C]."""
    channels = x.shape[-1]
    pointwise = functools.partial(
      layers.Pointwise,
      channels,
      implementation=self.conv_implementation,
      dtype=self.dtype,
    )
    h = ops.gelu(
      pointwise(name="proj_1")(x), implementation=self.conv_implementation
    )
    h = LargeKernelAttention(
      kernel_size=self.kernel_size,
      dilation=self.dilation,
      gate=self.gate,
      convs=self.convs,
      conv_implementation=self.conv_implementation,
      dtype=self.dtype,
      name="spatial_gating_unit",
    )(h)
    h = pointwise(name="proj_2")(h)
    return h + x if self.shortcut else h
