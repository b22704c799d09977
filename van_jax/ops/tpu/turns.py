"""How often the loops of the kernels turn, as they are written."""

import json

from van_jax.ops.tpu.plan import Plan
from van_jax.ops.tpu.rows import runs

FORWARD, GRADIENT = "depthwise_forward", "depthwise_kernel_gradient"


def metadata(plan: Plan, kernel: str) -> dict[str, str]:
  """Returns the turns as metadata of a kernel, for who reads its program.

  A schedule tells the bundles of each loop, and not how often it turns, where
  its ends are computed.

  Args:
    plan: the cut of the maps.
    kernel: FORWARD or GRADIENT, the kernel's name.
  """
  return {"loops": json.dumps(turns(plan, kernel), separators=(",", ":"))}


def turns(plan: Plan, kernel: str) -> list[tuple[int, int]]:
  """Returns (depth, turns in a call) of each loop, as written.

  The grid's loop comes first, at depth 1.

  Args:
    plan: the cut of the maps.
    kernel: FORWARD, also the gradient for the input; or GRADIENT.
  """
  H, W, _, _ = plan.shape
  blocks, G = plan.blocks[0] * plan.blocks[1], plan.groups
  rows, bands = blocks * H, blocks * plan.row_blocks
  grid = [(1, blocks * plan.steps)]
  taps = [
    plan.taps.first[0] + n * plan.taps.step for n in range(plan.taps.count[0])
  ]
  tap_rows = blocks * G * sum(max(0, H - abs(offset)) for offset in taps)
  if kernel == FORWARD:
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
