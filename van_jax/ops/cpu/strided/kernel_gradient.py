"""The kernel's gradient on CPUs, for stride 1: products of patches.

XLA:CPU computes it as a convolution whose taps are whole maps, large ones at a
tenth of the speed of its matrix product. Here the patches of a few rows at a
time, or of one, are multiplied by the gradients of these rows: those of the
whole map would leave the cache before they are used.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.custom_partitioning import custom_partitioning

from van_jax.ops.cpu.placement import mapped, shardings

# Positions in a product, at least: fewer leave the sums that each product is
# added to, [kh, kw, C, D], most of what is moved.
_POSITIONS = 512


def kernel_gradient(
  x: jax.Array,
  gradient: jax.Array,
  *,
  size: tuple[int, int],
  padding: int,
) -> jax.Array:
  """Returns the kernel's gradient, [kh, kw, C, D], in float32 or wider.

  Args:
    x: [B, H, W, C].
    gradient: for the result, [B, H', W', D].
    size: (kh, kw).
    padding: zeros before and behind both axes.
  """
  return _operation(size, padding)(x, gradient)


@functools.cache
def _operation(size, padding):
  """Returns the operation; what devices find in their examples is summed."""

  def run(x, gradient):
    return _sums(x, gradient, size, padding)

  split = custom_partitioning(run)

  def partition(mesh, arguments, _):
    examples, whole = shardings(mesh, arguments[0].sharding)
    axes = examples.spec[0]

    def share(x, gradient):
      sums = run(x, gradient)
      return sums if axes is None else lax.psum(sums, axes)

    return mesh, share, whole, (examples, examples)

  split.def_partition(
    partition,
    sharding_rule="b h w c, b i j d -> p q c d",
    # In the order in which the rule has them.
    need_replication_factors=("h", "w", "c", "i", "j", "d", "p", "q"),
  )
  return mapped(split)


def _sums(x, gradient, size, padding):
  B, _, W, D = gradient.shape
  wide = jnp.promote_types(x.dtype, jnp.float32)
  rows = max(1, -(-_POSITIONS // max(1, B * W)))
  x, gradient = _whole_blocks(x, gradient, rows, size, padding)

  def add(block, sums):
    first = block * rows
    patches = _patches(x, first, rows, W, size)
    part = lax.dynamic_slice_in_dim(gradient, first, rows, 1)
    return sums + lax.dot_general(
      patches.reshape(B * rows * W, -1),
      part.reshape(B * rows * W, D),
      (((0,), (0,)), ((), ())),
      preferred_element_type=wide,
    )

  start = jnp.zeros((size[0] * size[1] * x.shape[-1], D), wide)
  sums = lax.fori_loop(0, gradient.shape[1] // rows, add, start)
  return sums.reshape(*size, x.shape[-1], D)


def _whole_blocks(x, gradient, rows, size, padding):
  """Returns both with zeros around x, and so many rows that blocks fit."""
  height = gradient.shape[1]
  more = -height % rows
  needed = height + more - 1 + size[0]
  behind = max(padding, needed - padding - x.shape[1])
  x = jnp.pad(x, ((0, 0), (padding, behind), (padding, padding), (0, 0)))
  return x, jnp.pad(gradient, ((0, 0), (0, more), (0, 0), (0, 0)))


def _patches(x, first, rows, columns, size):
  """Returns what the taps meet, [B, rows, columns, kh * kw * C]."""
  part = lax.dynamic_slice_in_dim(x, first, rows - 1 + size[0], 1)
  return jnp.concatenate(
    [
      part[:, i : i + rows, j : j + columns]
      for i in range(size[0])
      for j in range(size[1])
    ],
    axis=-1,
  )
