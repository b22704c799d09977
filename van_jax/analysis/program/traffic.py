"""What the kernels of a GPU's program read from its memory and write to it.

Each kernel reads what it is given once and writes what it makes once: what a
cache saves, and what is read again for want of one, is not known. Over the
card's bandwidth that is about the least time of a run whose maps are larger
than the cache, and of a network whose layers are narrow most of it.
"""

import dataclasses
from collections.abc import Iterator

from van_jax.analysis.program import hlo, hlo_line
from van_jax.analysis.program.hlo_line import Instruction

# What only names memory, or waits for what has been begun.
_FREE = {
  *("parameter", "constant", "tuple", "get-tuple-element", "bitcast"),
  *("after-all", "add-dependency", "partition-id", "replica-id"),
  "opt-barrier",
}
_WAITS = ("-update", "-done")
# What runs other computations kernel by kernel.
_CONTROL = {"call", "while", "conditional", "async-start"}
_SLICES = {"slice", "dynamic-slice", "gather"}


@dataclasses.dataclass(frozen=True)
class Kernel:
  """One instruction that a device runs by itself.

  Attributes:
    name: of the instruction.
    origin: the line of the traced program that it comes from.
    bytes: that it reads and writes.
    count: how often it runs.
  """

  name: str
  origin: str
  bytes: int
  count: int


def kernels(module: hlo.Module) -> list[Kernel]:
  """Returns a program's kernels, in its order."""
  found = []
  for name in dict.fromkeys(_run_by(module, module.entry)):
    computation = _Computation(module, name)
    for instruction in module.computations[name]:
      opcode = instruction.opcode
      if opcode not in _FREE | _CONTROL and not opcode.endswith(_WAITS):
        moved = computation.moved(instruction)
        origin = module.origin(instruction)
        found.append(
          Kernel(instruction.name, origin, moved, module.turns[name])
        )
  return found


def moved_bytes(module: hlo.Module) -> int:
  """Returns the bytes of all of them, of one run."""
  return sum(kernel.bytes * kernel.count for kernel in kernels(module))


def _run_by(module, name) -> Iterator[str]:
  """Yields a computation, and those that it runs kernel by kernel."""
  if name not in module.computations:
    return
  yield name
  for instruction in module.computations[name]:
    if instruction.opcode in _CONTROL:
      for called in hlo_line.called(instruction):
        yield from _run_by(module, called)


class _Computation:
  """What the instructions of one computation move."""

  def __init__(self, module: hlo.Module, name: str):
    self._module = module
    self._all = module.computations[name]
    self._by_name = {i.name: i for i in self._all}
    self._sizes = {i.name: sum(a.bytes for a in i.arrays) for i in self._all}
    # A -start also holds its operands and its counters.
    self._made = self._sizes | {
      i.operands[0]: self._sizes[i.name]
      for i in self._all
      if i.opcode.endswith("-done") and i.operands
    }

  def moved(self, instruction: Instruction) -> int:
    """Returns the bytes that an instruction reads and writes."""
    operands = instruction.operands
    made = self._made[instruction.name]
    if instruction.opcode in _SLICES:  # Only that part is read.
      return 2 * made
    if instruction.opcode == "dynamic-update-slice":  # In place.
      return 2 * self._sizes[operands[1]]
    if instruction.opcode == "fusion":
      (called,) = hlo_line.called(instruction)
      return _Computation(self._module, called)._in_one()
    return sum(self._sizes.get(name, 0) for name in set(operands)) + made

  def _in_one(self) -> int:
    """Returns the bytes of all of a fusion, between its ends nothing."""
    users = {i.name: [] for i in self._all if i.opcode == "parameter"}
    root = self._all[-1]
    for instruction in self._all:
      if instruction.opcode == "bitcast" and instruction is not root:
        continue
      for name in dict.fromkeys(map(self._viewed, instruction.operands)):
        if name in users:
          users[name].append(instruction)
    results = root.operands if root.opcode == "tuple" else (root.name,)
    return sum(self._read(name, own) for name, own in users.items()) + sum(
      self._written(self._by_name[self._viewed(name)]) for name in results
    )

  def _viewed(self, name: str) -> str:
    """Returns the instruction whose memory one of that name has, or is."""
    instruction = self._by_name.get(name)  # None of a parameter's number.
    while instruction is not None and instruction.opcode == "bitcast":
      (name,) = instruction.operands
      instruction = self._by_name.get(name)
    return name

  def _read(self, parameter: str, users: list[Instruction]) -> int:
    """Returns the bytes read of a parameter: slices, or all of it."""
    parts = 0
    for user in users:
      whole = self._viewed(user.operands[0]) == parameter
      if user.opcode in _SLICES and whole:
        parts += self._sizes[user.name]
      elif user.opcode != "dynamic-update-slice" or not whole:
        return self._sizes[parameter]
    return min(parts, self._sizes[parameter])

  def _written(self, result: Instruction) -> int:
    """Returns the bytes of a result, or of the part that is new."""
    if result.opcode == "dynamic-update-slice":
      return self._sizes[result.operands[1]]
    return self._sizes[result.name]
