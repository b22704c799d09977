"""Large kernel attention, VAN's own."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from van_jax import errors
from van_jax.models import layers
from van_jax.models.attention.gates import check_gate, gated
from van_jax.models.attention.sizes import check_sizes

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
    dilation: d; None for the `best_dilation` of K, which the module then has.
    gate: how the view meets the input: "multiply", "add", "sigmoid" (of the
      view, then multiply) or "none" (the view alone); Table 3.
    convs: which of the three convolutions there are, or ("dense",) for one
      K x K convolution over all channels instead; Table 3.
    depthwise: makes a depthwise convolution.
    pointwise: makes a 1x1 convolution.
    dtype: of the computation.
  """

  kernel_size: int = 21
  dilation: int | None = 3
  gate: str = "multiply"
  convs: tuple[str, ...] = CONVS
  depthwise: Callable[..., Any] = layers.Depthwise
  pointwise: Callable[..., Any] = layers.Pointwise
  dtype: DTypeLike = jnp.float32

  def __post_init__(self):
    check_sizes(kernel_size=self.kernel_size)
    if self.dilation is None:
      self.dilation = best_dilation(self.kernel_size)
    check_sizes(dilation=self.dilation)
    check_gate(self.gate)
    _check_convs(self.convs)
    super().__post_init__()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, C]."""
    assert self.dilation is not None  # By __post_init__.
    channels = x.shape[-1]
    view = x
    if "dense" in self.convs:
      view = nn.Conv(
        channels,
        (self.kernel_size, self.kernel_size),
        kernel_init=layers.conv_init(),
        dtype=self.dtype,
        name="conv_dense",
      )(view)
    if "depthwise" in self.convs:
      view = self.depthwise(2 * self.dilation - 1, name="conv0")(view)
    if "dilated" in self.convs:
      size = -(-self.kernel_size // self.dilation)
      view = self.depthwise(size, dilation=self.dilation, name="conv_spatial")(
        view
      )
    if "pointwise" in self.convs:
      view = self.pointwise(channels, name="conv1")(view)
    return gated(x, view, self.gate)


def best_dilation(kernel_size: int) -> int:
  """Returns the dilation with which K x K takes the fewest parameters.

  arXiv:2202.09741, Eq. 3: C * (ceil(K / d)^2 + (2d - 1)^2 + C); C, the
  channels, makes no difference to where it is least. Of equal ones, K = 35 has
  4 and 5, the smallest is taken. The paper's kernels all have it: 7: 2, 14: 3,
  21: 3, 28: 4. LSKA's sizes from 11 on do not have LKA's best (23: 4, and not
  3): its kernels are counted otherwise, and it keeps to d = 2 and 3.

  Args:
    kernel_size: K.

  Raises:
    UserError: unless K is a whole number, at least 1.

  >>> [best_dilation(k) for k in (7, 14, 21, 28, 35, 53)]
  [2, 3, 3, 4, 4, 5]
  """
  check_sizes(kernel_size=kernel_size)

  def taps(dilation):
    return (-(-kernel_size // dilation)) ** 2 + (2 * dilation - 1) ** 2

  return min(range(1, kernel_size + 1), key=taps)


def _check_convs(convs: tuple[str, ...]) -> None:
  ordered = tuple(conv for conv in CONVS if conv in convs)
  if convs != DENSE and (not convs or convs != ordered):
    raise errors.UserError(
      f"convs={convs} must be some of {CONVS}, in that order, or {DENSE}."
    )
