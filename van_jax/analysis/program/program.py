"""A compiled program in figures: memory, arithmetic, exchange, speed."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from van_jax.analysis.program import clock, hlo, schedule, traffic
from van_jax.analysis.program.collectives import (
  Collective,
  collectives,
  uncounted,
)
from van_jax.analysis.program.padding import Padding, padding
from van_jax.analysis.program.products import repeated_multiply_adds
from van_jax.parallel import graphics_cards


@dataclasses.dataclass(frozen=True)
class Program:
  """What a compiler tells of a program, for one device of its mesh.

  Attributes:
    chip: the device's kind, "TPU v5 lite" say.
    mesh_shape: sizes of the mesh by axis, major to minor.
    slices: that the mesh lies on.
    argument_bytes: of what it is given.
    output_bytes: of what it returns.
    donated_bytes: of arguments whose memory outputs take over.
    temporary_bytes: of all else; None where the compiler reports none. A TPU's
      counts what lies in the device's large memory: where all of a small step
      finds room on the chip, it says 0.
    peak_bytes: the most at once by the compiler's own reckoning, with what lies
      on the chip; it can be below the temporaries. None where it reports none.
    flops: a run, by XLA's cost analysis and the further turns of its loops;
      kernels of ours are not in it. None where it has none.
    collectives: in the program's order.
    uncounted_loops: that exchange something in unknown turns, counted once.
    seconds_by_schedule: of a run, by the bundles that the compiler scheduled:
      an estimate that knows no stalls on memory and no collectives; None where
      there is no schedule.
    schedule_gap: what has no schedule, if that is why; "" otherwise.
    padding: of the channels; empty but on TPUs.
    moved_bytes: that a GPU's kernels read and write in a run, see `traffic`;
      None on other devices, and on cards unknown.
    seconds_by_traffic: that these take at the card's full bandwidth: about the
      least for a run, as what caches save is not known.
  """

  chip: str
  mesh_shape: Mapping[str, int]
  slices: int
  argument_bytes: int
  output_bytes: int
  donated_bytes: int
  temporary_bytes: int | None
  peak_bytes: int | None
  flops: float | None
  collectives: tuple[Collective, ...]
  uncounted_loops: tuple[str, ...]
  seconds_by_schedule: float | None
  schedule_gap: str
  padding: Padding
  moved_bytes: int | None
  seconds_by_traffic: float | None

  @property
  def devices(self) -> int:
    """Of the mesh."""
    return math.prod(self.mesh_shape.values())

  @property
  def memory_bytes(self) -> int:
    """Arguments, outputs of their own and temporaries: an upper bound."""
    held = self.argument_bytes + self.output_bytes - self.donated_bytes
    if self.temporary_bytes is None:
      return max(held, self.peak_bytes or 0)
    return held + self.temporary_bytes

  @property
  def largest(self) -> Collective | None:
    """The collective of most bytes a run."""
    return max(self.collectives, key=lambda row: row.bytes, default=None)


def read(
  compiled: jax.stages.Compiled,
  *,
  mesh_shape: Mapping[str, int] | jax.sharding.Mesh,
  slices: int = 1,
  schedule_folder: str | pathlib.Path | None = None,
) -> Program:
  """Returns the figures of a compiled program.

  Args:
    compiled: of `jit(...).lower(...).compile()`.
    mesh_shape: sizes by axis, major to minor, or the mesh.
    slices: of equal size, major in the mesh; 1 for one.
    schedule_folder: where libtpu was told to write its schedules, see
      `dumps.libtpu_arguments`, and wrote this program's last.
  """
  if isinstance(mesh_shape, jax.sharding.Mesh):
    mesh_shape = mesh_shape.shape
  memory: Any = compiled.memory_analysis()
  module = hlo.parse(compiled.as_text() or "")
  chip = chip_of(compiled)
  seconds, gap = _by_schedule(module, chip, schedule_folder)
  bandwidth = graphics_cards.bandwidth(chip)
  moved = traffic.moved_bytes(module) if bandwidth else None
  return Program(
    chip=chip,
    mesh_shape=dict(mesh_shape),
    slices=slices,
    argument_bytes=_size(memory, "argument_size_in_bytes") or 0,
    output_bytes=_size(memory, "output_size_in_bytes") or 0,
    donated_bytes=_size(memory, "alias_size_in_bytes") or 0,
    temporary_bytes=_temporaries(memory),
    peak_bytes=_size(memory, "peak_memory_in_bytes") or None,
    flops=_flops(compiled.cost_analysis(), module),
    collectives=collectives(module, mesh_shape, slices),
    uncounted_loops=uncounted(module),
    seconds_by_schedule=seconds,
    schedule_gap=gap,
    padding=padding(module),
    moved_bytes=moved,
    seconds_by_traffic=moved / bandwidth if moved and bandwidth else None,
  )


def _by_schedule(module, chip, folder):
  """Returns seconds or None, and what is missing for them or ""."""
  if folder is None or chip not in clock.HERTZ:
    return None, ""
  try:
    cycles = schedule.cycles(module, folder)
  except ValueError as error:
    return None, str(error)
  return cycles / clock.HERTZ[chip], ""


def chip_of(compiled: jax.stages.Compiled) -> str:
  """Returns the kind of the devices that a program is for; "" if unknown."""
  for sharding in jax.tree.leaves(
    (compiled.input_shardings, compiled.output_shardings)
  ):
    for device in getattr(sharding, "device_set", ()):
      return device.device_kind
  return ""


def _temporaries(memory):
  """Returns their bytes; None for a 0 that the peak contradicts.

  Whether they lie on the chip, or the compiler counted none, is not said.
  """
  sizes = ("argument_size", "output_size", "alias_size", "peak_memory")
  given, made, donated, peak = (
    _size(memory, f"{name}_in_bytes") or 0 for name in sizes
  )
  found = _size(memory, "temp_size_in_bytes")
  return None if not found and peak > given + made - donated else found


def _size(memory, name):
  return None if memory is None else getattr(memory, name, None)


def _flops(costs, module):
  if isinstance(costs, list | tuple):
    costs = costs[0] if costs else None
  flops = (costs or {}).get("flops", 0)
  if flops <= 0:
    return None
  return flops + 2 * repeated_multiply_adds(module)
