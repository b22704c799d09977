"""Rows of a map in VMEM: unpacked into full float32 registers, and back."""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from van_jax.ops.tpu.plan import LANES, SUBLANES, Plan

_WIDEST_RUN = 28  # Columns whose sums stay in registers, of 64 there are.


def registers(plan: Plan):
  """Yields (group, lanes of the register, sublanes and lanes of the block)."""
  deep = plan.packs * plan.stack
  for tile in range(plan.full):
    for n in range(deep):
      yield (
        tile * deep + n,
        slice(None),
        _piece(n, SUBLANES),
        _piece(tile, LANES),
      )
  if plan.tail:
    for n in range(deep):
      yield (
        plan.full * deep + n // plan.packs,
        _piece(n % plan.packs, plan.tail),
        _piece(n, SUBLANES),
        slice(plan.full * LANES, plan.lanes),
      )


def unpack_row(plan: Plan, row: int | jax.Array, block, slot, scratch) -> None:
  """Writes a row of `block`, [W, S, L], as scratch[slot], [W, groups, 8, 128].

  Args:
    plan: the cut.
    row: of the block.
    block: reference to [rows, W, S, L].
    slot: of the scratch.
    scratch: reference to [slots, W, groups, 8, 128].
  """
  for group, to, sublanes, lanes in registers(plan):
    scratch[slot, :, group, :, to] = block[row, :, sublanes, lanes].astype(
      scratch.dtype
    )


def pack_pixel(plan: Plan, values, block, row, column) -> None:
  """Writes a pixel's registers to block[row, column], [S, L]."""
  for group, lanes, sublanes, to in registers(plan):
    block[row, column, sublanes, to] = values[group][:, lanes].astype(
      block.dtype
    )


def count(plan: Plan, block: jax.Array) -> int | jax.Array:
  """Returns the rows of a block that are rows of the map."""
  if plan.shape[0] % plan.rows == 0:
    return plan.rows
  # What lies past the end must not take the ring's slots of what is needed.
  return jnp.minimum(plan.rows, plan.shape[0] - block * plan.rows)


def tile_of(plan: Plan, group: jax.Array) -> jax.Array:
  """Returns which weights a group takes."""
  if plan.channels_in_sublanes:
    return group
  return jnp.minimum(quotient(group, plan.packs * plan.stack), plan.full)


def live_taps(plan: Plan, row: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the range of tap rows that meet the map from an output row."""
  first, step = plan.taps.first[0], plan.taps.step
  # The division rounds to zero: both arguments are kept from below it.
  low = quotient(jnp.maximum(step - 1 - row - first, 0), step)
  high = quotient(jnp.maximum(plan.shape[0] - 1 - row - first + step, 0), step)
  return low, jnp.minimum(high, plan.taps.count[0])


def slot_of(plan: Plan, row: jax.Array) -> jax.Array:
  """Returns where the ring keeps a row: its last slot holds all zeros."""
  inside = (row >= 0) & (row < plan.shape[0])
  return jnp.where(inside, remainder(jnp.maximum(row, 0), plan.ring), plan.ring)


def runs(width: int) -> list[range]:
  """Returns the columns in runs of about equal length."""
  count = -(-width // _WIDEST_RUN)
  ends = [width * n // count for n in range(count + 1)]
  return [range(a, b) for a, b in itertools.pairwise(ends)]


def column_hits(plan: Plan, columns: range):
  """Yields (column read, [(tap, column written), ...]) for these columns."""
  first, step = plan.taps.first[1], plan.taps.step
  for source in range(plan.shape[1]):
    hits = [
      (tap, source - first - tap * step) for tap in range(plan.taps.count[1])
    ]
    hits = [(tap, column) for tap, column in hits if column in columns]
    if hits:
      yield source, hits


def remainder(a: jax.Array, b: int) -> jax.Array:
  """Returns a mod b, neither of them negative."""
  # Under jax_enable_x64 a plain b would be int64, and not go with a.
  return lax.rem(a, jnp.asarray(b, a.dtype))


def quotient(a: jax.Array, b: int) -> jax.Array:
  """Returns a / b rounded to zero."""
  return lax.div(a, jnp.asarray(b, a.dtype))


def for_each(count, body: Callable[[jax.Array], None]) -> None:
  """Calls body(0) ... body(count - 1) in a loop on the device."""

  def step(n, carry):
    # Under jax_enable_x64 it would be int64, unlike the grid's numbers.
    body(jnp.asarray(n, jnp.int32))
    return carry

  lax.fori_loop(0, count, step, 0)


def _piece(n: int, length: int) -> slice:
  return slice(n * length, (n + 1) * length)
