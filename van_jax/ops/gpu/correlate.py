"""The GPU kernel of the convolution, and of its gradient for the input."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu

from van_jax.ops.gpu import strips
from van_jax.ops.gpu.gelu import gelu_and_slope
from van_jax.ops.gpu.instructions import Instructions, instructions
from van_jax.ops.gpu.plan import Plan

PLAIN, GELU, WITH_SLOPE = "plain", "gelu", "with_slope"


def correlate(
  plan: Plan,
  x: jax.Array,
  kernel: jax.Array,
  *,
  bias: jax.Array | None = None,
  input_bias: jax.Array | None = None,
  factor: jax.Array | None = None,
  then: str = PLAIN,
  total: bool = False,
  interpret: bool,
) -> list[jax.Array]:
  """Returns bias + sum of x moved by each tap's offset, times its weight.

  Args:
    plan: the cut of x.
    x: [B, H, W, C].
    kernel: [taps, C], by rows, float32.
    bias: [C], float32.
    input_bias: [C], float32, added to x but not to the zeros around it.
    factor: [B, H, W, C] of x's dtype, multiplied to x.
    then: PLAIN, GELU of it, or also its derivative.
    total: whether to add up the result over the positions, too.
    interpret: run without a GPU.

  Returns:
    [B, H, W, C] of x's dtype, the derivative alike, and the sums, [C], float32;
    those that are asked for.
  """
  B, H, W, C = plan.shape
  flat = (B, H * W, C)
  taken = {
    "x": x.reshape(flat),
    "kernel": kernel,
    "bias": None if bias is None else bias[None],
    "input_bias": None if input_bias is None else input_bias[None],
    "factor": None if factor is None else factor.reshape(flat),
  }
  taken = {name: a for name, a in taken.items() if a is not None}
  map_shape = jax.ShapeDtypeStruct(flat, x.dtype)
  given = {"y": map_shape}
  if then == WITH_SLOPE:
    given["slope"] = map_shape
  if total:
    programs = plan.grid[0] * plan.grid[1]
    given["total"] = jax.ShapeDtypeStruct((programs, C), jnp.float32)

  def depthwise_correlate(*refs):
    by_name = dict(zip((*taken, *given), refs, strict=True))
    _kernel(plan, by_name, then, instructions(interpret))

  results = pl.pallas_call(
    depthwise_correlate,
    out_shape=list(given.values()),
    grid=plan.grid,
    compiler_params=plgpu.CompilerParams(num_warps=plan.warps, num_stages=1),
    interpret=interpret,
    name="depthwise_correlate",
  )(*taken.values())
  results = dict(zip(given, results, strict=True))
  if total:
    results["total"] = jnp.sum(results["total"], 0)
  return [
    a if name == "total" else a.reshape(x.shape) for name, a in results.items()
  ]


def _kernel(
  plan: Plan, refs: dict[str, Any], then: str, ptx: Instructions
) -> None:
  channels = strips.channels(plan)
  at = strips.strips(plan, pl.program_id(0), channels)
  program = pl.program_id(0) * plan.grid[1] + pl.program_id(1)
  rows = strips.rows(plan)
  shape = (plan.units, plan.channels)
  weights = [
    strips.parameter(refs["kernel"], n, channels)
    for n in range(plan.rows.count * plan.columns.count)
  ]
  nothing = jnp.zeros(shape, jnp.float32)
  if "bias" in refs:
    nothing += strips.parameter(refs["bias"], 0, channels)
  write = functools.partial(_write, plan, refs, then, ptx, at, rows)
  read = functools.partial(_read, plan, refs, at, rows)

  def step(m, carry):
    loaded, sums, total = carry
    # The next row is on its way while this one is multiplied.
    following = read(m + 1)
    sums = _add(plan, _widened(plan, refs, at, loaded), weights, sums, ptx)
    total = write(m - (plan.rows.count - 1), sums[: plan.width], total)
    return following, [*sums[plan.width :], *[nothing] * plan.width], total

  total = [jnp.zeros(shape, jnp.float32)] if "total" in refs else []
  carry = (read(rows.start), [nothing] * (plan.rows.count * plan.width), total)
  carry = lax.fori_loop(rows.start, rows.end, step, carry)
  _, sums, total = carry
  for n in range(plan.rows.count - 1):
    row = rows.end - (plan.rows.count - 1) + n
    total = write(row, sums[n * plan.width : (n + 1) * plan.width], total)
  if total:
    strips.store_sums(refs["total"], program, channels, total[0])


def _read(plan, refs, at, rows, step) -> list[jax.Array]:
  """Returns the columns that the units read in a step, as they are."""
  taps = plan.rows
  row = rows.first - taps.before + step * taps.step
  # Beyond the last step there is none: any row will do, without a mask.
  row = jnp.clip(row, 0, plan.shape[1] - 1)
  return [
    strips.load(plan, refs[name], at, row, _column(plan, source))
    for name in ("x", "factor")
    if name in refs
    for source in plan.sources
  ]


def _column(plan, source):
  return source * plan.columns.step - plan.columns.before


def _widened(plan, refs, at, loaded) -> list[jax.Array]:
  """Returns the columns that are multiplied by taps, in float32."""
  count = len(plan.sources)
  wide = [a.astype(jnp.float32) for a in loaded]
  if "factor" in refs:
    wide = [a * b for a, b in zip(wide[:count], wide[count:], strict=True)]
  if "input_bias" in refs:
    bias = strips.parameter(refs["input_bias"], 0, at.channels)
    wide = [
      jnp.where(strips.inside(plan, at, _column(plan, source)), a + bias, 0.0)
      for source, a in zip(plan.sources, wide, strict=True)
    ]
  return wide


def _add(
  plan, columns, weights, sums: Sequence[jax.Array], ptx: Instructions
) -> list[jax.Array]:
  """Returns the sums of the rows that a row has a part in.

  Args:
    plan: the cut.
    columns: the row's, of plan.sources.
    weights: by taps.
    sums: of each row that is being written, the first one first, by columns.
    ptx: the arithmetic.
  """
  sums, taps = list(sums), plan.columns.count
  for source, x in zip(plan.sources, columns, strict=True):
    for n in range(plan.rows.count):
      tap_row = plan.rows.count - 1 - n
      for tap in range(taps):
        column = source - tap
        if 0 <= column < plan.width:
          at = n * plan.width + column
          sums[at] = ptx.multiply_add(
            x, weights[tap_row * taps + tap], sums[at]
          )
  return sums


def _write(plan, refs, then, ptx, at, rows, n, sums, total):
  """Writes a row if it is the program's; returns the sums with it."""
  row = rows.first + n * plan.rows.step
  wanted = (n >= rows.low) & (n < rows.high)
  for column, y in enumerate(sums):
    column *= plan.columns.step
    put = functools.partial(
      strips.store, plan, at=at, row=row, column=column, wanted=wanted
    )
    if then != PLAIN:
      y, slope = gelu_and_slope(y, ptx)
      if then == WITH_SLOPE:
        put(refs["slope"], value=slope)
    put(refs["y"], value=y)
    if total:
      written = strips.inside(plan, at, column) & wanted
      total = [total[0] + jnp.where(written, y, 0.0)]
  return total
