"""What a program of the GPU kernels reads and writes: rows of its units."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu

from van_jax.ops.gpu.plan import Plan

_NOWHERE = -(1 << 30)  # The column of what is not of the map, at any offset.


class Channels(NamedTuple):
  """A program's channels.

  Attributes:
    index: [1, channels].
    inside: which are the map's, alike; None for all.
  """

  index: jax.Array
  inside: jax.Array | None


class Strips(NamedTuple):
  """Where a program's units lie.

  Attributes:
    example: of each unit, [units, 1].
    column: the first that it writes, [units, 1].
    channels: of all.
  """

  example: jax.Array
  column: jax.Array
  channels: Channels


class Rows(NamedTuple):
  """Rows of a residue class, counted in steps of the dilation; all [].

  Step m reads row `first` - before + m * dilation, and row n is written at
  `first` + n * dilation from steps n to n + taps - 1.

  Attributes:
    first: row of the class.
    low: first row written, and
    high: the end of them.
    start: first step that meets the map, and
    end: the end of them.
  """

  first: jax.Array
  low: jax.Array
  high: jax.Array
  start: jax.Array
  end: jax.Array


def channels(plan: Plan) -> Channels:
  """Returns the program's channels."""
  index = pl.program_id(2) * plan.channels + lax.broadcasted_iota(
    jnp.int32, (1, plan.channels), 1
  )
  partly = plan.shape[3] % plan.channels
  return Channels(index, index < plan.shape[3] if partly else None)


def strips(plan: Plan, block: jax.Array, channels: Channels) -> Strips:
  """Returns where the units of a block of them lie."""
  unit = block * plan.units + lax.broadcasted_iota(
    jnp.int32, (plan.units, 1), 0
  )
  step = plan.columns.step
  rest, group = _divided(unit, plan.groups)
  example, residue = _divided(rest, step)
  column = residue + group * (plan.width * step)
  column = jnp.where(unit < plan.all_units, column, _NOWHERE)
  return Strips(example, column, channels)


def rows(plan: Plan) -> Rows:
  """Returns the program's rows."""
  taps, height = plan.rows, plan.shape[1]
  band, first = _divided(pl.program_id(1), taps.step)
  low = band * plan.band
  in_class = _quotient(height - first + taps.step - 1, taps.step)
  high = jnp.minimum(low + plan.band, in_class)
  ahead = taps.before - first  # Of the class's first row, taken positive.
  inside = jnp.maximum(_quotient(ahead + taps.step - 1, taps.step), 0)
  inside = jnp.where(ahead > 0, inside, 0)
  outside = _quotient(height + ahead + taps.step - 1, taps.step)
  return Rows(
    first=first,
    low=low,
    high=high,
    start=jnp.maximum(inside, low),
    end=jnp.minimum(outside, high + taps.count - 1),
  )


def load(
  plan: Plan,
  ref,
  at: Strips,
  row: jax.Array,
  column: int,
  wanted: jax.Array | None = None,
) -> jax.Array:
  """Returns a column of each unit, [units, channels]: zero outside of the map.

  Args:
    plan: the cut.
    ref: [B, H * W, C].
    at: the units.
    row: of the map.
    column: of the map, relative to the first that a unit writes.
    wanted: [], False for zeros; None for True.
  """
  mask = inside(plan, at, column)
  if wanted is not None:
    mask &= wanted
  where = _address(plan, at, row, column)
  return plgpu.load(ref.at[where], mask=mask, other=0.0)


def store(plan: Plan, ref, at: Strips, row, column, wanted, value) -> None:
  """Writes what `load` would read."""
  mask = inside(plan, at, column) & wanted
  where = _address(plan, at, row, column)
  plgpu.store(ref.at[where], value.astype(ref.dtype), mask=mask)


def inside(plan: Plan, at: Strips, column: int) -> jax.Array:
  """Returns where a column of each unit is the map's, [units, channels]."""
  moved = at.column + column
  mask = (moved >= 0) & (moved < plan.shape[2])
  shape = (plan.units, plan.channels)
  mask = jnp.broadcast_to(mask, shape)
  if at.channels.inside is not None:
    mask &= jnp.broadcast_to(at.channels.inside, shape)
  return mask


def parameter(ref, row: int, channels: Channels) -> jax.Array:
  """Returns a row of [rows, C], of the program's channels: [1, channels]."""
  index, mask = channels
  where = (jnp.full(index.shape, row, jnp.int32), index)
  return plgpu.load(
    ref.at[where], mask=mask, other=None if mask is None else 0.0
  )


def store_sums(ref, row: jax.Array, channels: Channels, value) -> None:
  """Adds up the units' values, and writes a row of [rows, C].

  Args:
    ref: [rows, C].
    row: which, [].
    channels: of the program.
    value: [units, channels].
  """
  index, mask = channels
  where = (jnp.broadcast_to(row, index.shape), index)
  plgpu.store(ref.at[where], jnp.sum(value, 0, keepdims=True), mask=mask)


def _address(plan, at, row, column):
  shape = (plan.units, plan.channels)
  return tuple(
    jnp.broadcast_to(index, shape)
    for index in (
      at.example,
      row * plan.shape[2] + at.column + column,
      at.channels.index,
    )
  )


def _divided(a: jax.Array, b: int) -> tuple[jax.Array, jax.Array]:
  """Returns a / b rounded down, and the rest; neither is negative."""
  if b == 1:
    return a, jnp.zeros_like(a)
  quotient = _quotient(a, b)
  return quotient, a - quotient * b


def _quotient(a: jax.Array, b: int) -> jax.Array:
  # Under jax_enable_x64 a plain b would be int64, and not go with a.
  return lax.div(a, jnp.full(a.shape, b, a.dtype))
