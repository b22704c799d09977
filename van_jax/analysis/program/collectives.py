"""What a program exchanges between devices: kind, bytes, axis, link."""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping

from van_jax.analysis.program import groups, hlo, hlo_line

KINDS = (
  "all-reduce",
  "all-gather",
  "reduce-scatter",
  "all-to-all",
  "ragged-all-to-all",
  "collective-permute",
  "collective-broadcast",
)

# Between slices a TPU's program sends to its host what Megascale exchanges.
_MEGASCALE = "xla_megascale_runtime"
_TRANSFERS = {
  "ALL_REDUCE": "all-reduce",
  "ALL_GATHER": "all-gather",
  "REDUCE_SCATTER": "reduce-scatter",
  "ALL_TO_ALL": "all-to-all",
  "ONE_TO_ONE": "collective-permute",
}


_CHAIN = re.compile(r'chain_id="(\d+)"')
_CHANNEL = re.compile(r"channel_id=(\d+)")


@dataclasses.dataclass(frozen=True)
class Collective:
  """One operation that devices do together.

  Attributes:
    kind: one of KINDS.
    dtype: of its numbers as HLO calls it, bf16 say; of most of its bytes.
    axis: of the mesh that it runs along, "data+fsdp" along both; "slice" when
      it leaves a slice.
    link: "DCN" then, the network of the data centre; else "ICI".
    devices: that take part in one exchange, at most; 0 between hosts.
    count: how often a run of the program does it.
    bytes: all of that on one device: of the whole arrays that are summed,
      gathered, scattered or sent, whatever way the links take.
    op_name: the line of the traced program that it comes from.
  """

  kind: str
  dtype: str
  axis: str
  link: str
  devices: int
  count: int
  bytes: int
  op_name: str


def collectives(
  module: hlo.Module, mesh_shape: Mapping[str, int], slices: int = 1
) -> tuple[Collective, ...]:
  """Returns the collectives of a program, in its order.

  Pairs of -start and -done are one. Those that involve a device alone are left
  out: nothing moves.

  Args:
    module: of one device's program.
    mesh_shape: sizes of the mesh by axis, major to minor.
    slices: the parts, as large as each other, that ICI does not join.
  """
  return tuple(_found(module, mesh_shape, slices))


def uncounted(module: hlo.Module) -> tuple[str, ...]:
  """Returns the loops that exchange something, unknown how often."""
  return tuple(
    loop
    for loop, body in module.endless.items()
    if any(
      i.opcode.removesuffix("-start") in KINDS for i in module.within(body)
    )
  )


def _found(module, mesh_shape, slices) -> Iterator[Collective]:
  devices = math.prod(mesh_shape.values())
  chains = set()
  done = {
    instruction.operands[0]: instruction.type
    for instruction, _ in module.executed()
    if instruction.opcode.endswith("-done") and instruction.operands
  }
  for instruction, turns in module.executed():
    if instruction.opcode == "send":
      if _MEGASCALE in instruction.rest:
        yield _megascale(instruction, turns, module.origin(instruction))
      continue
    kind = instruction.opcode.removesuffix("-start")
    if kind not in KINDS:
      continue
    # A TPU's compiler writes an exchange that runs beside several fusions into
    # each of them.
    if chain := _CHAIN.findall(instruction.rest):
      key = kind, *chain, *_CHANNEL.findall(instruction.rest)
      if key in chains:
        continue
      chains.add(key)
    members = groups.parse(instruction.rest, devices)
    most = max((len(group) for group in members), default=0)
    if most < 2:
      continue
    axis, link = groups.axis_of(members, mesh_shape, slices)
    # A -start also holds its operands and its counters.
    arrays = hlo_line.arrays_of(done.get(instruction.name, instruction.type))
    size = sum(array.bytes for array in arrays)
    if kind == "reduce-scatter":  # Its result is a part of what it sums.
      size *= most
    yield Collective(
      kind=kind,
      dtype=max(arrays, key=lambda array: array.bytes).dtype,
      axis=axis,
      link=link,
      devices=most,
      count=turns,
      bytes=size * turns,
      op_name=module.origin(instruction),
    )


def _megascale(instruction, turns, op_name) -> Collective:
  array = instruction.arrays[0]
  kind = next(
    (
      kind
      for name, kind in _TRANSFERS.items()
      if f'_xla_megascale_transfer_type="{name}"' in instruction.rest
    ),
    "collective-permute",
  )
  return Collective(
    kind=kind,
    dtype=array.dtype,
    axis=groups.SLICE,
    link="DCN",
    devices=0,
    count=turns,
    bytes=array.bytes * turns,
    op_name=op_name,
  )
