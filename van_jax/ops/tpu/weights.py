"""Depthwise kernels as the TPU kernels read them: one register a tap."""

import jax
import jax.numpy as jnp

from van_jax.ops.tpu.plan import LANES, SUBLANES, Plan


def spread(plan: Plan, kernel: jax.Array, dtype) -> jax.Array:
  """Returns the kernel repeated to registers.

  Args:
    plan: the cut.
    kernel: [kh, kw, C], C being S or L of the plan.
    dtype: of the result.

  Returns:
    [blocks * tiles, kh, kw, 8, 128].
  """
  kernel = kernel.astype(dtype)
  kh, kw, _ = kernel.shape
  if plan.channels_in_sublanes:
    groups = jnp.moveaxis(
      kernel.reshape(kh, kw, -1, plan.packs, SUBLANES), (2, 4), (0, 3)
    )  # [groups, kh, kw, 8, packs]
    width = plan.tail or LANES
    registers = jnp.repeat(groups, width, -1)
  else:
    tiles = [
      jnp.pad(piece, ((0, 0), (0, 0), (0, LANES - piece.shape[-1])))
      for piece in _pieces(plan, kernel)
    ]
    registers = jnp.stack(tiles)[:, :, :, None]
  missing = LANES - registers.shape[-1]
  registers = jnp.pad(registers, ((0, 0),) * 4 + ((0, missing),))
  return jnp.broadcast_to(registers, (*registers.shape[:3], SUBLANES, LANES))


def _pieces(plan, kernel):
  """Returns the tiles of the kernel's channels, the tail's repeated."""
  C = kernel.shape[-1]
  pieces = [kernel[..., n : n + LANES] for n in range(0, C, LANES)]
  if plan.packs > 1:
    pieces[-1] = jnp.tile(pieces[-1], (1, 1, plan.packs))
  return pieces


def gather(plan: Plan, sums: jax.Array) -> jax.Array:
  """Returns the kernel's gradient from each register's sums of products.

  Args:
    plan: the cut.
    sums: [blocks * tiles, kh, kw, 8, 128]; lanes beyond L may hold anything.

  Returns:
    [kh, kw, C].
  """
  count, kh, kw = sums.shape[:3]
  if plan.channels_in_sublanes:
    packs = plan.packs
    lanes = plan.tail or LANES
    # Whole batch tiles are one block after another that added up already.
    sums = sums[..., : packs * lanes].reshape(
      count, kh, kw, SUBLANES, packs, lanes
    )
    totals = jnp.sum(sums, -1)  # [groups, kh, kw, 8, packs]
    return jnp.moveaxis(totals, (0, 4), (2, 3)).reshape(kh, kw, -1)
  totals = jnp.sum(sums, 3)  # [tiles, kh, kw, 128]
  C = plan.shape[3]
  pieces = []
  for n in range(count):
    width = min(LANES, C - n * LANES)
    piece = totals[n]
    if plan.packs > 1 and n == count - 1:
      piece = jnp.sum(
        piece[..., : width * plan.packs].reshape(kh, kw, plan.packs, width), 2
      )
    pieces.append(piece[..., :width])
  return jnp.concatenate(pieces, -1)
