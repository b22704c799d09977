"""Cycles of our TPU kernels: bundles of each loop times its trips."""

import tpu_compiler  # First, as it sets what libtpu reads.

# isort: split
import functools

import jax
import jax.numpy as jnp

from van_jax.analysis.program import schedule
from van_jax.ops.shifted_sum import offsets
from van_jax.ops.tpu import forward
from van_jax.ops.tpu.kernel_gradient import kernel_sums
from van_jax.ops.tpu.layout import Layout
from van_jax.ops.tpu.plan import REGISTER, Plan, Taps
from van_jax.ops.tpu.rows import runs

FORWARD, GRADIENT = "depthwise_forward", "depthwise_kernel_gradient"


@functools.cache
def cycles(
  topology: str,
  kind: str,
  shape: tuple[int, int, int, int],
  size: int,
  dilation: int,
  dtype: str,
) -> int:
  """Returns the cycles of one call by the schedule, without memory stalls.

  Args:
    topology: as for `tpu_compiler.compile_for`.
    kind: FORWARD, also the gradient for the input; or GRADIENT.
    shape: [B, H, W, C].
    size: taps along each axis.
    dilation: distance between neighbouring taps.
    dtype: of the maps.
  """
  first = offsets(size, dilation)[0]
  taps = Taps(first=(first, first), step=dilation, count=(size, size))
  maps = 2 if kind == FORWARD else 3
  plan = Layout(*shape).plan(taps, dtype, maps=maps)
  x = jax.ShapeDtypeStruct(plan.shape, dtype)
  if kind == GRADIENT:
    run = functools.partial(kernel_sums, plan, interpret=False)
    arguments = [x, x]
  else:
    run = functools.partial(forward.convolve, plan, interpret=False)
    tiles = plan.blocks[0 if plan.channels_in_sublanes else 1] * plan.tiles
    arguments = [x] + [
      jax.ShapeDtypeStruct((tiles, *n, *REGISTER), jnp.float32)
      for n in ((size, size), (1, 1))
    ]
  tpu_compiler.compile_for(topology, run, *arguments)
  loops = schedule.loops_of(kind, tpu_compiler.SCHEDULES)
  trips = _trips(plan, kind)
  if [depth for depth, _ in loops] != [depth for depth, _ in trips]:
    raise ValueError(
      f"The loops of {plan}, {loops}, are not those written in the kernel, "
      f"{trips}; the compiler unrolled some: count them anew."
    )
  return sum(n * b for (_, n), (_, b) in zip(trips, loops, strict=True))


def _trips(plan: Plan, kind: str) -> list[tuple[int, int]]:
  """Returns (depth, trips of all the call) of each loop, as written."""
  H, W, _, _ = plan.shape
  blocks, G = plan.blocks[0] * plan.blocks[1], plan.groups
  rows, bands = blocks * H, blocks * plan.row_blocks
  grid = [(1, blocks * plan.steps)]
  taps = [
    plan.taps.first[0] + n * plan.taps.step for n in range(plan.taps.count[0])
  ]
  tap_rows = blocks * G * sum(max(0, H - abs(offset)) for offset in taps)
  if kind == FORWARD:
    # Loops of one trip vanish. Each run of columns loops over rows of taps.
    depth = 2 if G == 1 else 3
    sums = [(depth, rows * G)] if G > 1 else []
    if not plan.unrolled:
      count = len(runs(W))
      sums += [(depth + 1, tap_rows)] * count
    return [*grid, (2, rows), (2, rows), *sums]
  taken_in = [(2, rows)] if plan.plain else [(2, rows), (2, rows)]
  alone = [(2, rows)] if G == 1 else [(2, bands * G), (3, rows * G)]
  if plan.unrolled:
    return [*grid, *taken_in, *alone]
  products = [(2, bands * G * plan.taps.count[0]), (3, tap_rows)]
  return [*grid, *taken_in, *products, *alone]
