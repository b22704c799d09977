"""A program's convolutions and matrix products, and their multiply-adds."""

import dataclasses
import math
import re
from collections.abc import Mapping

from van_jax.analysis.program import hlo, hlo_line
from van_jax.analysis.program.hlo_line import Instruction

_LABELS = re.compile(r"dim_labels=(\w+)_(\w+)->(\w+)")
_GROUPS = re.compile(r"(feature|batch)_group_count=(\d+)")
_CONTRACTED = re.compile(r"lhs_contracting_dims={([\d,]*)}")
_TILED = re.compile(r"T\(8,128\)")


@dataclasses.dataclass(frozen=True)
class Product:
  """A convolution or a product of matrices.

  Attributes:
    rows: examples times pixels.
    channels_in: of its input.
    channels_out: of its result.
    taps: of its kernel; 1 of a product of matrices.
    depthwise: whether each channel is convolved by itself.
    on_tpu: whether its arrays lie in a TPU's tiles.
  """

  rows: int
  channels_in: int
  channels_out: int
  taps: int
  depthwise: bool
  on_tpu: bool

  @property
  def multiply_adds(self) -> int:
    """Of one turn, without padding."""
    within = 1 if self.depthwise else self.channels_in
    return self.rows * within * self.channels_out * self.taps


def repeated_multiply_adds(module: hlo.Module) -> int:
  """Returns the multiply-adds of loops beyond their first turns.

  XLA's own analysis of costs counts a loop once.
  """
  total = 0
  for name, instructions in module.computations.items():
    if (turns := module.turns.get(name, 0)) > 1:
      types = {i.name: i.type for i in instructions}
      products = (product(i, types) for i in instructions)
      macs = sum(p.multiply_adds for p in products if p is not None)
      total += (turns - 1) * macs
  return total


def product(
  instruction: Instruction, types: Mapping[str, str]
) -> Product | None:
  """Returns what an instruction multiplies; None where it does not.

  Args:
    instruction: any.
    types: of the instructions of its computation, by name, as HLO writes them.
  """
  if instruction.opcode not in ("convolution", "dot"):
    return None
  known = [
    hlo_line.arrays_of(types.get(name, "")) for name in instruction.operands
  ]
  if len(known) < 2 or not (known[0] and known[1]):
    return None
  left, right, out = known[0][0], known[1][0], instruction.arrays[0]
  # Only TPUs have tiles of registers in their layouts.
  on_tpu = any(_TILED.search(a.layout) for a in (left, right, out))
  if instruction.opcode == "dot":
    found = _CONTRACTED.search(instruction.rest)
    axes = [int(n) for n in re.findall(r"\d+", found[1])] if found else []
    within = math.prod(left.dims[n] for n in axes)
    columns = out.dims[-1] if out.dims else 1
    rows = math.prod(out.dims) // max(columns, 1)
    return Product(rows, within, columns, 1, False, on_tpu)
  labels = _LABELS.search(instruction.rest)
  if labels is None:
    return None
  groups = {m[1]: int(m[2]) for m in _GROUPS.finditer(instruction.rest)}
  kernel = dict(zip(labels[2], right.dims, strict=True))
  result = dict(zip(labels[3], out.dims, strict=True))
  taps = math.prod(n for axis, n in kernel.items() if axis.isdigit())
  return Product(
    rows=math.prod(out.dims) // result["f"],
    channels_in=kernel["i"] * groups.get("batch", 1),
    channels_out=result["f"],
    taps=taps,
    depthwise=groups.get("feature", 1) > 1 and kernel["i"] == 1,
    on_tpu=on_tpu,
  )
