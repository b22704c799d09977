"""The TPU kernel of the convolution's gradient for its kernel."""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from van_jax.ops.tpu import rows, turns
from van_jax.ops.tpu.plan import REGISTER, Plan

_SUMS = 14  # At least; fewer, and an addition waits for the last one.


def kernel_sums(
  plan: Plan, x: jax.Array, gradient: jax.Array, *, interpret: bool
) -> tuple[jax.Array, jax.Array]:
  """Returns the gradient's sums, times x moved by each tap's offset, and alone.

  Args:
    plan: the cut of both.
    x: [H, W, S, L].
    gradient: [H, W, S, L], of the convolution's result.
    interpret: run without a TPU.

  Returns:
    [blocks * tiles, kh, kw, 8, 128], and [blocks * tiles, 1, 1, 8, 128], both
    to be added up by `weights.gather`.
  """
  W = plan.shape[1]
  wide = jnp.promote_types(x.dtype, jnp.float32)
  block = (plan.rows, W, plan.sublanes, plan.lanes)
  band = (1 if plan.plain else plan.rows, W, plan.groups, *REGISTER)
  last = plan.row_blocks - 1
  grid, order = plan.blocks, lambda s, b: (s, b)
  if not plan.channels_in_sublanes:  # Channels first: their sums stay put.
    grid, order = grid[::-1], lambda b, s: (s, b)
  sums, total = (*plan.taps.count, *REGISTER), (1, 1, *REGISTER)
  return pl.pallas_call(
    functools.partial(_kernel, plan),
    out_shape=[
      jax.ShapeDtypeStruct((grid[0] * plan.tiles, *shape), wide)
      for shape in (sums, total)
    ],
    grid=(*grid, plan.steps),
    in_specs=[
      pl.BlockSpec(
        block, lambda a, b, t: (jnp.minimum(t, last), 0, *order(a, b))
      ),
      pl.BlockSpec(
        block, lambda a, b, t: (jnp.maximum(t - plan.lag, 0), 0, *order(a, b))
      ),
    ],
    out_specs=[
      pl.BlockSpec((plan.tiles, *shape), lambda a, b, t: (a, 0, 0, 0, 0))
      for shape in (sums, total)
    ],
    scratch_shapes=[
      pltpu.VMEM((plan.ring + 1, W, plan.groups, *REGISTER), wide),
      pltpu.VMEM(band, wide),
    ],
    compiler_params=pltpu.CompilerParams(
      dimension_semantics=("parallel", "arbitrary", "arbitrary")
    ),
    interpret=interpret,
    metadata=turns.metadata(plan, turns.GRADIENT),
    name=turns.GRADIENT,
  )(x, gradient)


def _kernel(plan, x_ref, gradient_ref, sums_ref, total_ref, ring_ref, band_ref):
  """Takes in a block of rows, and adds the products of the completed block."""
  step = pl.program_id(2)

  @pl.when((pl.program_id(1) == 0) & (step == 0))
  def _():
    sums_ref[...] = jnp.zeros(sums_ref.shape, sums_ref.dtype)
    total_ref[...] = jnp.zeros(total_ref.shape, total_ref.dtype)
    ring_ref[plan.ring] = jnp.zeros(ring_ref.shape[1:], ring_ref.dtype)

  @pl.when(step < plan.row_blocks)
  def _():
    rows.for_each(
      rows.count(plan, step),
      lambda n: rows.unpack_row(
        plan,
        n,
        x_ref,
        rows.remainder(step * plan.rows + n, plan.ring),
        ring_ref,
      ),
    )

  block = step - plan.lag

  @pl.when(block >= 0)
  def _():
    if not plan.plain:
      rows.for_each(
        rows.count(plan, block),
        lambda n: rows.unpack_row(plan, n, gradient_ref, n, band_ref),
      )

    def gradient_at(n, column, group):
      if plan.plain:
        return gradient_ref[n, column].astype(ring_ref.dtype)
      return band_ref[n, column, group]

    kh = plan.taps.count[0]
    add = functools.partial(
      _add, plan, block, sums_ref, total_ref, ring_ref, gradient_at
    )
    if plan.unrolled:
      rows.for_each(plan.groups, lambda group: add(group, range(kh)))
    else:
      rows.for_each(
        plan.groups * kh,
        lambda n: add(rows.quotient(n, kh), [rows.remainder(n, kh)]),
      )
      rows.for_each(plan.groups, lambda group: add(group, []))


def _add(
  plan, block, sums_ref, total_ref, ring_ref, gradient_at, group, tap_rows
):
  """Adds a block's products of one group with some rows of taps.

  The gradient itself is added up beside all rows of taps, or beside none.
  """
  H, W, _, _ = plan.shape
  start = block * plan.rows
  end = jnp.minimum(start + plan.rows, H)
  taps = [(row, n) for row in tap_rows for n in range(plan.taps.count[1])]
  chains = -(-_SUMS // (len(taps) + 1))
  alone = len(tap_rows) != 1

  def add_row(row, sums):
    sums, gradients = list(sums), {}

    def gradient(column):
      if column not in gradients:
        gradients[column] = gradient_at(row - start, column, group)
      return gradients[column]

    for nth, tap_row in enumerate(tap_rows):
      slot = rows.slot_of(
        plan, row + plan.taps.first[0] + tap_row * plan.taps.step
      )
      for source, hits in rows.column_hits(plan, range(W)):
        x = ring_ref[slot, source, group]
        for tap, column in hits:
          at = (nth * plan.taps.count[1] + tap) * chains + column % chains
          sums[at] += gradient(column) * x
    for column in range(W) if alone else ():
      sums[len(taps) * chains + column % chains] += gradient(column)
    return sums

  low, high = start, end
  if not alone:
    offset = plan.taps.first[0] + tap_rows[0] * plan.taps.step
    low, high = jnp.maximum(start, -offset), jnp.minimum(end, H - offset)
  zeros = [jnp.zeros(REGISTER, sums_ref.dtype)] * ((len(taps) + alone) * chains)
  sums = lax.fori_loop(low, high, add_row, zeros)
  parts = [
    sum(sums[n : n + chains], jnp.zeros(REGISTER, sums_ref.dtype))
    for n in range(0, len(sums), chains)
  ]
  tile = rows.tile_of(plan, group)
  for (tap_row, tap), part in zip(taps, parts, strict=False):
    sums_ref[tile, tap_row, tap] += part
  if alone:
    total_ref[tile, 0, 0] += parts[-1]
