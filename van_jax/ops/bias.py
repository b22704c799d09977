"""Adding a bias, with its gradient summed in float32 and fast on TPUs.

XLA's sum over the positions of a map that lies in memory takes 14 cycles a
register on TPU v5e, by its estimate: twice a 3x3 convolution by our kernel.
The kernel here takes less than one. Where XLA computes the gradient itself it
adds on the way, and a kernel would only force it to write the map out.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from van_jax.ops.pallas_tpu_layout import Layout
from van_jax.ops.pallas_tpu_placement import per_device
from van_jax.ops.pallas_tpu_plan import LANES

_BLOCK = 2**21  # Bytes of a block; two of them are in VMEM at a time.
_UNROLLED = 32  # Pixels, each one addition, or more of many channels.


# As in ops/depthwise.py, the platform is known when the program is lowered.
@jax.custom_vjp
def add_bias(x: jax.Array, bias: jax.Array) -> jax.Array:
  """Returns x + bias, [B, H, W, C], of x's dtype.

  Args:
    x: [B, H, W, C].
    bias: [C].
  """
  return (x + bias[None, None, None]).astype(x.dtype)


def _forward(x, bias):
  return add_bias(x, bias), bias


def _backward(bias, gradient):
  sums = lax.platform_dependent(
    gradient, tpu=_sums_on_tpu, default=_sums_by_xla
  )
  return gradient, sums.astype(bias.dtype)


add_bias.defvjp(_forward, _backward)


def _sums_by_xla(x):
  """Returns the sum over all positions, [C]."""
  return jnp.sum(x, (0, 1, 2), jnp.promote_types(x.dtype, jnp.float32))


def _sums_locally(x, *, interpret):
  """Returns what `_sums_by_xla` does, of one device's x."""
  if not interpret and x.dtype == jnp.float64:  # Mosaic has none.
    return _sums_by_xla(x)
  layout = Layout(*x.shape)
  sums = _map_sums(layout.apply(x), interpret=interpret)
  batch_axis = 1 if layout.channels_in_sublanes else 0
  return jnp.sum(sums, batch_axis)[: x.shape[-1]]


_sums_on_tpu = per_device(
  "channel_sums", _sums_locally, _sums_by_xla, split=(True,), summed=True
)


def _map_sums(x, *, interpret):
  """Returns the sum of x, [H, W, S, L], over H and W."""
  H, W, S, L = x.shape
  lanes, pixels, unrolled = _cut(x.shape, x.dtype.itemsize)
  wide = jnp.promote_types(x.dtype, jnp.float32)
  return pl.pallas_call(
    functools.partial(_kernel, unrolled),
    out_shape=jax.ShapeDtypeStruct((S, L), wide),
    grid=(pl.cdiv(L, lanes), H * W // pixels),
    in_specs=[pl.BlockSpec((pixels, S, lanes), lambda c, t: (t, 0, c))],
    out_specs=pl.BlockSpec((S, lanes), lambda c, t: (0, c)),
    compiler_params=pltpu.CompilerParams(
      dimension_semantics=("parallel", "arbitrary")
    ),
    interpret=interpret,
    name="channel_sums",
  )(x.reshape(H * W, S, L))


def _cut(shape, itemsize):
  """Returns lanes and pixels of a block, and pixels of a step in it."""
  H, W, S, L = shape
  lanes = 2 * LANES if L % (2 * LANES) == 0 else min(L, LANES)
  pixel = S * -(-lanes // LANES) * LANES * itemsize
  pixels = _divisor(H * W, _BLOCK // pixel)
  return lanes, pixels, _divisor(pixels, _UNROLLED)


def _kernel(unrolled, x_ref, sums_ref):
  @pl.when(pl.program_id(1) == 0)
  def _():
    sums_ref[...] = jnp.zeros(sums_ref.shape, sums_ref.dtype)

  def add(n, carry):
    pixels = x_ref[pl.ds(n * unrolled, unrolled)].astype(sums_ref.dtype)
    sums_ref[...] += jnp.sum(pixels, 0)
    return carry

  lax.fori_loop(0, x_ref.shape[0] // unrolled, add, 0)


def _divisor(number, most):
  """Returns the largest divisor of a number that is at most `most`, or 1."""
  return max(n for n in range(1, max(1, most) + 1) if number % n == 0)
