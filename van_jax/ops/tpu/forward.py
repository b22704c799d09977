"""The TPU kernel of the convolution, and of its gradient for the input."""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from van_jax.ops.tpu import rows, turns
from van_jax.ops.tpu.plan import REGISTER, Plan


def convolve(
  plan: Plan,
  x: jax.Array,
  weights: jax.Array,
  bias: jax.Array,
  *,
  interpret: bool,
) -> jax.Array:
  """Returns bias + sum of x moved by each tap's offset, times its weight.

  Args:
    plan: the cut of x.
    x: [H, W, S, L].
    weights: [tiles, kh, kw, 8, 128], as `weights.spread` gives.
    bias: [tiles, 1, 1, 8, 128], likewise.
    interpret: run without a TPU.

  Returns:
    [H, W, S, L] of x's dtype.
  """
  W = plan.shape[1]
  wide = jnp.promote_types(x.dtype, jnp.float32)
  block = (plan.rows, W, plan.sublanes, plan.lanes)
  last = plan.row_blocks - 1

  def of_channels(s, c, t):
    del t
    return s if plan.channels_in_sublanes else c, 0, 0, 0, 0

  return pl.pallas_call(
    functools.partial(_kernel, plan),
    out_shape=jax.ShapeDtypeStruct(plan.shape, x.dtype),
    grid=(*plan.blocks, plan.steps),
    in_specs=[
      pl.BlockSpec(block, lambda s, c, t: (jnp.minimum(t, last), 0, s, c)),
      pl.BlockSpec((plan.tiles, *plan.taps.count, *REGISTER), of_channels),
      pl.BlockSpec((plan.tiles, 1, 1, *REGISTER), of_channels),
    ],
    out_specs=pl.BlockSpec(
      block, lambda s, c, t: (jnp.maximum(t - plan.lag, 0), 0, s, c)
    ),
    scratch_shapes=[
      pltpu.VMEM((plan.ring + 1, W, plan.groups, *REGISTER), wide),
      pltpu.VMEM((W, plan.groups, *REGISTER), wide),
    ],
    compiler_params=pltpu.CompilerParams(
      dimension_semantics=("parallel", "parallel", "arbitrary")
    ),
    interpret=interpret,
    metadata=turns.metadata(plan, turns.FORWARD),
    name=turns.FORWARD,
  )(x, weights, bias)


def _kernel(plan, x_ref, weights_ref, bias_ref, y_ref, ring_ref, sums_ref):
  """Takes in a block of rows, and writes the block that it completes."""
  step = pl.program_id(2)

  def take_in(n):
    slot = rows.remainder(step * plan.rows + n, plan.ring)
    rows.unpack_row(plan, n, x_ref, slot, ring_ref)

  @pl.when(step == 0)
  def _():
    ring_ref[plan.ring] = jnp.zeros(ring_ref.shape[1:], ring_ref.dtype)

  @pl.when(step < plan.row_blocks)
  def _():
    rows.for_each(rows.count(plan, step), take_in)

  block = step - plan.lag

  @pl.when(block >= 0)
  def _():
    rows.for_each(
      rows.count(plan, block),
      lambda n: _write_row(
        plan,
        n,
        functools.partial(
          _sums, plan, block * plan.rows + n, weights_ref, bias_ref, ring_ref
        ),
        y_ref,
        sums_ref,
      ),
    )


def _write_row(plan, n, sums_of, y_ref, sums_ref):
  def sum_group(group):
    for run in rows.runs(plan.shape[1]):
      for column, total in zip(run, sums_of(group, run), strict=True):
        if plan.groups == 1:
          rows.pack_pixel(plan, [total], y_ref, n, column)
        else:
          sums_ref[column, group] = total

  if plan.groups == 1:
    sum_group(jnp.int32(0))
    return
  rows.for_each(plan.groups, sum_group)
  for group, lanes, sublanes, to in rows.registers(plan):
    y_ref[n, :, sublanes, to] = sums_ref[:, group, :, lanes].astype(y_ref.dtype)


def _sums(plan, row, weights_ref, bias_ref, ring_ref, group, run):
  """Returns the results, [8, 128] each, of a run of columns."""
  tile = rows.tile_of(plan, group)
  sums = [bias_ref[tile, 0, 0]] * len(run)

  def add_tap_row(tap_row, slot, sums):
    sums, weights = list(sums), {}
    for source, hits in rows.column_hits(plan, run):
      x = ring_ref[slot, source, group]
      for tap, column in hits:
        if tap not in weights:
          weights[tap] = weights_ref[tile, tap_row, tap]
        sums[column - run[0]] += weights[tap] * x
    return sums

  def source_row(tap_row):
    return row + plan.taps.first[0] + tap_row * plan.taps.step

  if not plan.unrolled:
    low, high = rows.live_taps(plan, row)
    return lax.fori_loop(
      low,
      high,
      lambda tap_row, sums: add_tap_row(
        tap_row, rows.remainder(source_row(tap_row), plan.ring), sums
      ),
      sums,
    )
  for tap_row in range(plan.taps.count[0]):
    slot = rows.slot_of(plan, source_row(tap_row))
    sums = add_tap_row(tap_row, slot, sums)
  return sums
