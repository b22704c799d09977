"""What dense heads are made of: convolutions, and the one that classifies."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from van_jax import ops
from van_jax.models import layers
from van_jax.models.batch_norm import BatchNorm


class Conv(nn.Module):
  """A convolution that keeps the map's size.

  Attributes:
    features: channels out.
    kernel_size: k, odd.
    use_bias: whether there is one.
    kernel_init: of the kernel, [k, k, C, features].
    implementation: one of `ops.list_implementations()`.
    dtype: of the computation; products add up in float32 or wider.
  """

  features: int
  kernel_size: int
  use_bias: bool = True
  kernel_init: Callable[..., jax.Array] = layers.conv_init()
  implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, features]."""
    size = self.kernel_size
    shape = (size, size, x.shape[-1], self.features)
    kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
    kernel = layers.at_least(self.dtype, kernel)
    x = x.astype(self.dtype)
    run: Any = {"implementation": self.implementation}
    if size == 1:
      y = ops.pointwise_conv(x, kernel[0, 0], **run)
    else:
      y = ops.strided_conv(x, kernel, padding=size // 2, **run)
    if not self.use_bias:
      return y
    bias = self.param("bias", nn.initializers.zeros, shape[3:], jnp.float32)
    return ops.add_bias(y, bias)


class ConvModule(nn.Module):
  """A convolution, then BatchNorm and ReLU if there are to be any.

  The convolution has a bias where no BatchNorm follows. Its kernel is drawn
  from normal(0, sqrt(2 / (k * k * out))), as mmcv's `ConvModule.init_weights`
  has it: `kaiming_init`, mode "fan_out".

  Attributes:
    features: channels out.
    kernel_size: of the convolution, odd.
    norm: makes a BatchNorm; None for none.
    activate: whether a ReLU ends it.
    kernel_init: of the convolution.
    implementation: as in `VAN`.
    dtype: of the computation.
  """

  features: int
  kernel_size: int
  norm: Callable[..., BatchNorm] | None = BatchNorm
  activate: bool = True
  kernel_init: Callable[..., jax.Array] = layers.conv_init()
  implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, features]."""
    x = Conv(
      self.features,
      self.kernel_size,
      use_bias=self.norm is None,
      kernel_init=self.kernel_init,
      implementation=self.implementation,
      dtype=self.dtype,
      name="conv",
    )(x)
    if self.norm is not None:
      x = self.norm(name="bn")(x, train=train)
    return nn.relu(x) if self.activate else x


def run(
  module: nn.Module, x: jax.Array, *, train: bool, remat: bool
) -> jax.Array:
  """Returns module(x), which the backward pass computes again under remat."""

  def call(module: Any, x):
    return module(x, train=train)

  return (nn.remat(call) if remat else call)(module, x)


def class_logits(
  x: jax.Array,
  *,
  num_classes: int,
  dropout_rate: float,
  train: bool,
  implementation: str,
  dtype: DTypeLike,
) -> jax.Array:
  """Returns logits, [B, H, W, num_classes], float32 or wider.

  Within a module's `__call__`, whose own the convolution becomes: "conv_seg",
  from normal(0, 0.01) as mmsegmentation's `BaseDecodeHead` has it.

  Args:
    x: [B, H, W, C].
    num_classes: K.
    dropout_rate: in training whole channels of an example are dropped, by the
      "dropout" stream.
    train: whether this is training.
    implementation: as in `VAN`.
    dtype: of the maps before.
  """
  dropout = nn.Dropout(dropout_rate, broadcast_dims=(1, 2))
  return Conv(
    num_classes,
    1,
    kernel_init=nn.initializers.normal(0.01),
    implementation=implementation,
    dtype=jnp.promote_types(dtype, jnp.float32),
    name="conv_seg",
  )(dropout(x, deterministic=not train))
