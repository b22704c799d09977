"""Cycles of our TPU kernels: bundles of each loop times its trips."""

import tpu_compiler  # First, as it sets what libtpu reads.

# isort: split
import functools

import jax
import jax.numpy as jnp

from van_jax.analysis.program import kernel_schedule
from van_jax.ops.shifted_sum import offsets
from van_jax.ops.tpu import forward
from van_jax.ops.tpu.kernel_gradient import kernel_sums
from van_jax.ops.tpu.layout import Layout
from van_jax.ops.tpu.plan import REGISTER, Taps
from van_jax.ops.tpu.turns import FORWARD, GRADIENT, turns


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
  assert plan is not None, f"maps of {shape} do not fit a TPU's VMEM"
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
  return kernel_schedule.cycles(kind, turns(plan, kind), tpu_compiler.SCHEDULES)
