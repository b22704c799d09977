"""The layers that VAN's blocks are made of, initialised as the authors do."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from van_jax import errors, ops


def conv_init(groups: int = 1) -> Callable[..., jax.Array]:
  """Returns normal(0, sqrt(2 / (k * k * out / groups))), for HWIO kernels."""

  def init(key, shape, dtype=jnp.float32):
    height, width, _, out = shape
    std = math.sqrt(2 / (height * width * out / groups))
    return std * jax.random.normal(key, shape, dtype)

  return init


def at_least(dtype: DTypeLike, parameter: jax.Array) -> jax.Array:
  """Returns a parameter as it is, if it is no narrower than maps of a dtype.

  The operation casts it, so that its gradient is summed in its own dtype.
  """
  return parameter.astype(jnp.promote_types(dtype, parameter.dtype))


# torch's trunc_normal_ cuts at -2 and 2, a hundred of these deviations away.
linear_init = nn.initializers.normal(0.02)


class Parameters(nn.Module):
  """A convolution's kernel and bias, for an operation that takes more of them.

  Attributes:
    shape: of the kernel, HWIO.
    groups: of channels; as many as there are for a depthwise convolution.
  """

  shape: tuple[int, int, int, int]
  groups: int = 1

  @nn.compact
  def __call__(self) -> tuple[jax.Array, jax.Array]:
    """Returns them, float32."""
    kernel = self.param(
      "kernel", conv_init(self.groups), self.shape, jnp.float32
    )
    bias = self.param(
      "bias", nn.initializers.zeros, self.shape[3:], jnp.float32
    )
    return kernel, bias


class Pointwise(nn.Module):
  """A 1x1 convolution with bias.

  Attributes:
    features: channels out.
    implementation: one of `ops.list_implementations()`.
    dtype: of the computation.
  """

  features: int
  implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, features]."""
    shape = (1, 1, x.shape[-1], self.features)
    kernel = self.param("kernel", conv_init(), shape, jnp.float32)
    bias = self.param(
      "bias", nn.initializers.zeros, (self.features,), jnp.float32
    )
    y = ops.pointwise_conv(
      x.astype(self.dtype),
      at_least(self.dtype, kernel[0, 0]),
      implementation=self.implementation,
    )
    return ops.add_bias(y, bias)


class Depthwise(nn.Module):
  """A depthwise convolution with bias that keeps the map's size.

  Attributes:
    kernel_size: taps along each axis, or (down, across).
    dilation: distance between neighbouring taps.
    implementation: one of `ops.list_implementations()`.
    dtype: of the computation; products add up in float32 or wider.
  """

  kernel_size: int | tuple[int, int]
  dilation: int = 1
  implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, C]."""
    channels = x.shape[-1]
    high, wide = _pair(self.kernel_size)
    shape = (high, wide, 1, channels)
    kernel = self.param("kernel", conv_init(channels), shape, jnp.float32)
    bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)
    return ops.depthwise_conv(
      x.astype(self.dtype),
      at_least(self.dtype, kernel),
      bias=at_least(self.dtype, bias),
      dilation=self.dilation,
      implementation=self.implementation,
    )


def _pair(kernel_size: Any) -> tuple[int, int]:
  """Returns the taps down and across, checked."""
  sizes = (
    kernel_size if isinstance(kernel_size, tuple | list) else [kernel_size]
  )
  if len(sizes) not in (1, 2) or not all(
    isinstance(size, int) and size >= 1 for size in sizes
  ):
    raise errors.UserError(
      f"kernel_size={kernel_size!r} must be a whole number, at least 1, or "
      "two of them, (down, across)."
    )
  return sizes[0], sizes[-1]


class DropPath(nn.Module):
  """Drops the whole residual of random examples, and scales up the rest.

  Attributes:
    rate: probability that an example's residual is dropped, in [0, 1).
  """

  rate: float

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, C]; draws from the "dropout" stream."""
    if not train or self.rate == 0:
      return x
    keep = 1 - self.rate
    kept = jax.random.bernoulli(
      self.make_rng("dropout"), keep, (x.shape[0], 1, 1, 1)
    )
    return jnp.where(kept, x / keep, 0)


class FeedForward(nn.Module):
  """1x1 convolution, depthwise 3x3, GELU, 1x1 convolution.

  Under "xla" these are layers one by one, which counters watch; else the first
  three share an operation. The parameters are the same.

  Attributes:
    ratio: hidden channels over channels.
    dropout_rate: of the hidden and of the final activations.
    implementation: one of `ops.list_implementations()`.
    dtype: of the computation.
  """

  ratio: int | float
  dropout_rate: float = 0.0
  implementation: str = "auto"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, C]."""
    channels = x.shape[-1]
    hidden = int(channels * self.ratio)
    run: Any = {"implementation": self.implementation, "dtype": self.dtype}
    if self.implementation == "xla":
      h = Pointwise(hidden, **run, name="fc1")(x)
      h = Depthwise(3, **run, name="dwconv")(h)
      h = ops.gelu(h, implementation="xla")
    else:
      h = self._in_one(x, hidden)
    h = nn.Dropout(self.dropout_rate)(h, deterministic=not train)
    h = Pointwise(channels, **run, name="fc2")(h)
    return nn.Dropout(self.dropout_rate)(h, deterministic=not train)

  @nn.nowrap
  def _in_one(self, x: jax.Array, hidden: int) -> jax.Array:
    """Returns fc1, dwconv and GELU of x, the bias between added on the way."""
    pointwise, input_bias = Parameters(
      (1, 1, x.shape[-1], hidden), name="fc1"
    )()
    depthwise, bias = Parameters((3, 3, 1, hidden), hidden, name="dwconv")()
    y = ops.pointwise_conv(
      x.astype(self.dtype),
      at_least(self.dtype, pointwise[0, 0]),
      implementation=self.implementation,
    )
    return ops.depthwise_conv_gelu(
      y,
      at_least(self.dtype, depthwise),
      bias=at_least(self.dtype, bias),
      input_bias=input_bias,
      implementation=self.implementation,
    )
