"""The GPU kernel of the convolution's gradients for its kernel and bias."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu

from van_jax.ops.gpu import strips
from van_jax.ops.gpu.instructions import Instructions, instructions
from van_jax.ops.gpu.plan import Plan


def kernel_sums(
  plan: Plan,
  x: jax.Array,
  gradient: jax.Array,
  *,
  input_bias: jax.Array | None = None,
  factor: jax.Array | None = None,
  interpret: bool,
) -> jax.Array:
  """Returns the gradient's sums, times x moved by each tap's offset, and alone.

  Each program writes its own sums, which are added up after it: so their order
  is always the same.

  Args:
    plan: the cut of both.
    x: [B, H, W, C].
    gradient: [B, H, W, C], of the convolution's result.
    input_bias: [C], float32, added to x but not to the zeros around it.
    factor: [B, H, W, C], multiplied to the gradient.
    interpret: run without a GPU.

  Returns:
    [taps + 1, C], by rows, float32.
  """
  B, H, W, C = plan.shape
  taken: dict[str, Any] = {
    name: a.reshape(B, H * W, C)
    for name, a in (("x", x), ("gradient", gradient), ("factor", factor))
    if a is not None
  }
  if input_bias is not None:
    taken["input_bias"] = input_bias[None]
  results = plan.rows.count * plan.columns.count + 1

  def depthwise_kernel_gradient(*refs):
    *inputs, sums_ref = refs
    by_name = dict(zip(taken, inputs, strict=True))
    _kernel(plan, by_name, sums_ref, instructions(interpret))

  sums = pl.pallas_call(
    depthwise_kernel_gradient,
    out_shape=jax.ShapeDtypeStruct(
      (plan.grid[0] * plan.grid[1] * results, C), jnp.float32
    ),
    grid=plan.grid,
    compiler_params=plgpu.CompilerParams(num_warps=plan.warps, num_stages=1),
    interpret=interpret,
    name="depthwise_kernel_gradient",
  )(*taken.values())
  return jnp.sum(sums.reshape(-1, results, C), 0)


def _kernel(
  plan: Plan, refs: dict[str, Any], sums_ref, ptx: Instructions
) -> None:
  rows, channels = strips.rows(plan), strips.channels(plan)
  first = pl.program_id(0) * plan.rounds
  program = pl.program_id(0) * plan.grid[1] + pl.program_id(1)
  results = plan.rows.count * plan.columns.count + 1
  zero = jnp.zeros((plan.units, plan.channels), jnp.float32)

  def turn(n, sums):
    at = strips.strips(plan, first + jnp.asarray(n, jnp.int32), channels)
    return _add_strips(plan, refs, at, rows, sums, ptx)

  sums = lax.fori_loop(0, plan.rounds, turn, [zero] * results)
  for n, total in enumerate(sums):
    strips.store_sums(sums_ref, program * results + n, channels, total)


def _add_strips(plan, refs, at, rows, sums, ptx):
  """Adds the products of a program's rows of some units."""
  taps = plan.rows.count

  def gradients(n, wanted):
    return _gradients(plan, refs, at, rows, n, wanted)

  # Row n of the gradient meets steps n to n + taps - 1: those of earlier rows
  # that are met by the first step are taken in before it.
  before = [rows.start - (taps - 1) + n for n in range(taps - 1)]
  window = [gradients(n, (n >= rows.low) & (n < rows.high)) for n in before]
  *products, alone = sums
  for row in window:
    alone = sum(row, alone)

  def step(m, carry):
    window, products, alone = carry
    row = gradients(m, m < rows.high)
    alone = sum(row, alone)
    window = [*window, row]
    columns = _read(plan, refs, at, rows, m)
    products = _add(plan, columns, window, products, ptx)
    return window[1:], products, alone

  _, products, alone = lax.fori_loop(
    rows.start, rows.end, step, (window, products, alone)
  )
  return [*products, alone]


def _gradients(plan, refs, at, rows, n, wanted):
  """Returns a row of the gradient by columns, in float32."""
  row = rows.first + n * plan.rows.step
  found = []
  for column in range(plan.width):
    parts = [
      strips.load(
        plan, refs[name], at, row, column * plan.columns.step, wanted
      ).astype(jnp.float32)
      for name in ("gradient", "factor")
      if name in refs
    ]
    found.append(parts[0] if len(parts) == 1 else parts[0] * parts[1])
  return found


def _read(plan, refs, at, rows, step):
  """Returns the columns that the units' taps meet in a step, in float32."""
  row = rows.first - plan.rows.before + step * plan.rows.step
  found = []
  for source in plan.sources:
    column = source * plan.columns.step - plan.columns.before
    x = strips.load(plan, refs["x"], at, row, column).astype(jnp.float32)
    if "input_bias" in refs:
      bias = strips.parameter(refs["input_bias"], 0, at.channels)
      x = jnp.where(strips.inside(plan, at, column), x + bias, 0.0)
    found.append(x)
  return found


def _add(plan, columns, window, products, ptx: Instructions):
  """Returns the products of taps with a row of x added.

  Args:
    plan: the cut.
    columns: of x, of plan.sources.
    window: rows of the gradient that the row's taps brought it to, the last
      tap's first.
    products: by taps.
    ptx: the arithmetic.
  """
  products, taps = list(products), plan.columns.count
  for source, x in zip(plan.sources, columns, strict=True):
    for n, row in enumerate(window):
      tap_row = plan.rows.count - 1 - n
      for tap in range(taps):
        if 0 <= source - tap < plan.width:
          at = tap_row * taps + tap
          products[at] = ptx.multiply_add(x, row[source - tap], products[at])
  return products
