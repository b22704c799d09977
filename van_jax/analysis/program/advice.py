"""Warnings that a compiled program and a run's numbers give cause for.

Each is a function of plain values that returns its line, or None.
"""

from collections.abc import Sequence

from van_jax.analysis.program.collectives import Collective
from van_jax.analysis.program.padding import Padding
from van_jax.analysis.program.program import Program

_LEAST_IMAGES = 8  # A chip: a register's sublanes, and what kernels take.
_NOTED = 0.25  # Of the multiply-adds' room, from which padding is told of.


def warnings(
  program: Program,
  *,
  images_per_chip: int,
  batch_norm_group_size: int | None,
  mixing_group_size: int | None,
) -> list[str]:
  """Returns the lines that apply to a training step.

  Args:
    program: of the step.
    images_per_chip: at once, so of a micro-batch.
    batch_norm_group_size: images that share statistics; None: all at once.
    mixing_group_size: images among which partners are; None: all of the batch.
  """
  exchanged = program.collectives
  chips = program.devices
  found = (
    few_images(images_per_chip),
    spread_batch_norm(batch_norm_group_size, images_per_chip, chips, exchanged),
    bfloat16_sums(exchanged),
    partners_across_slices(mixing_group_size, images_per_chip, exchanged),
    padded_channels(program.padding),
    uncounted_loops(program.uncounted_loops),
  )
  return [line for line in found if line is not None]


def few_images(images_per_chip: int) -> str | None:
  """Warns of fewer images a chip than a register has sublanes."""
  if images_per_chip >= _LEAST_IMAGES:
    return None
  return (
    f"{images_per_chip} images a chip at once, fewer than {_LEAST_IMAGES}: "
    "registers are partly empty and the sums over chips weigh more; take a "
    "larger batch, fewer chips or fewer micro-batches."
  )


def spread_batch_norm(
  group_size: int | None,
  images_per_chip: int,
  chips: int,
  exchanged: Sequence[Collective] = (),
) -> str | None:
  """Warns of BatchNorm's groups that lie on several chips."""
  group = group_size or images_per_chip * chips
  if chips == 1 or images_per_chip % group == 0:
    return None
  over = -(-group // images_per_chip)
  small = [
    row
    for row in exchanged
    if row.kind == "all-reduce" and row.devices == over < chips
  ]
  cost = ""
  if small:
    count = sum(row.count for row in small)
    size = sum(row.bytes for row in small)
    cost = f": {count} small all-reduces a step, {size / 1e6:.2f} MB"
  return (
    f"BatchNorm's groups of {group} images are spread over {over} chips each"
    f"{cost}; model.batch_norm_group_size={images_per_chip} would need none, "
    "with other statistics."
  )


def bfloat16_sums(exchanged: Sequence[Collective]) -> str | None:
  """Warns of gradients that chips sum in bfloat16."""
  # JAX names what a backward pass does "transpose(jvp(...))".
  sums = [
    row
    for row in exchanged
    if row.kind in ("all-reduce", "reduce-scatter")
    and "transpose(" in row.op_name
  ]
  low = sum(row.bytes for row in sums if row.dtype == "bf16")
  if not low:
    return None
  total = sum(row.bytes for row in sums)
  return (
    f"gradients are summed across chips in bfloat16: {low / 1e6:.2f} of "
    f"{total / 1e6:.2f} MB a step; mesh.gradient_dtype=float32 sums them all "
    "in float32."
  )


def partners_across_slices(
  group_size: int | None,
  images_per_chip: int,
  exchanged: Sequence[Collective],
) -> str | None:
  """Warns of mixing's partners that lie in another slice."""
  moved = sum(
    row.bytes
    for row in exchanged
    if row.link == "DCN"
    and row.kind in ("collective-permute", "all-to-all", "all-gather")
    and "transpose(" not in row.op_name
  )
  if not moved:
    return None
  group = "the whole batch" if group_size is None else f"{group_size} images"
  return (
    f"images or labels are exchanged across slices, {moved / 1e6:.2f} MB a "
    f"chip and step: mixing takes partners from {group}; a "
    f"mixing.group_size that divides {images_per_chip} (images a chip) moves "
    "nothing, one that divides a slice's images stays within it."
  )


def padded_channels(padding: Padding) -> str | None:
  """Warns of widths that leave much of the matrix units empty."""
  if padding.wasted < _NOTED or not padding.widths:
    return None
  widths = ", ".join(
    f"{row.channels} (of {row.lanes})" for row in padding.widths[:6]
  )
  return (
    f"padded channels: {padding.wasted:.0%} of the room for multiply-adds is "
    f"padding, by the widths {widths}; multiples of 128 waste none."
  )


def uncounted_loops(loops: Sequence[str]) -> str | None:
  """Warns of loops whose turns the program does not tell."""
  if not loops:
    return None
  return (
    f"{len(loops)} loops have no known number of turns: what they exchange is "
    "counted once."
  )
