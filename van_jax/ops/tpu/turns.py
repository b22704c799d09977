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
  # Loops of one trip vanish, and what they hold moves up.
  each_row = [(2, rows)] if plan.rows > 1 else []
  if kernel == FORWARD:
    depth = 2 if plan.rows > 1 else 1
    sums = []
    if G > 1:
      depth += 1
      sums = [(depth, rows * G)]
    if not plan.unrolled:  # Each run of columns loops over rows of taps.
      sums += [(depth + 1, tap_rows)] * len(runs(W))
    return [*grid, *each_row, *each_row, *sums]
  taken_in = each_row if plan.plain else [*each_row, *each_row]
  alone = [(2, rows)] if G == 1 else [(2, bands * G), (3, rows * G)]
  if plan.unrolled:
    return [*grid, *taken_in, *alone]
  products = [(2, bands * G * plan.taps.count[0]), (3, tap_rows)]
  return [*grid, *taken_in, *products, *alone]
