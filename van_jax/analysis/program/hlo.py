"""The text of an optimised HLO module: its instructions, how often each runs.

Read from text since that is what every backend gives (`as_text`), with tiled
layouts and backend configs that XLA's own Python objects do not show.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator

from van_jax.analysis.program import hlo_line
from van_jax.analysis.program.hlo_line import Instruction

_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.\-]+)(?: \(.*)? {$")
_BODY = re.compile(r"body=%?([\w.\-]+)")
_CONDITION = re.compile(r"condition=%?([\w.\-]+)")
_TRIPS = re.compile(r'"known_trip_count":\s*{\s*"n":\s*"?(\d+)')
_STEPS = 16  # Back along operands, to one that has a name.


@dataclasses.dataclass(frozen=True)
class Module:
  """A program.

  Attributes:
    computations: instructions by computation.
    turns: how often a run of the program runs each; 0 for what only reduces,
      sorts or the like. Branches all count, as if all were taken.
    endless: body by name of the loops without a known count of turns, which
      `turns` counts once.
  """

  computations: dict[str, tuple[Instruction, ...]]
  turns: dict[str, int]
  endless: dict[str, str]

  @property
  def entry(self) -> str:
    """The computation that a run begins with; "" of an empty module."""
    return next(iter(self.turns), "")

  def executed(self) -> Iterator[tuple[Instruction, int]]:
    """Yields each instruction that runs, and how often."""
    for name, instructions in self.computations.items():
      if turns := self.turns.get(name, 0):
        for instruction in instructions:
          yield instruction, turns

  def within(self, name: str) -> Iterator[Instruction]:
    """Yields the instructions of a computation and of all that it calls."""
    for instruction in self.computations.get(name, ()):
      yield instruction
      for called in hlo_line.called(instruction):
        yield from self.within(called)

  @functools.cached_property
  def _by_name(self):
    lines = self.computations.values()
    return {i.name: i for instructions in lines for i in instructions}

  @functools.cached_property
  def _callers(self):
    """Where each computation is called first, and where an instruction is."""
    calls, home = {}, {}
    for name, instructions in self.computations.items():
      for instruction in instructions:
        home[instruction.name] = name
        for called in hlo_line.called(instruction):
          calls.setdefault(called, instruction)
    return calls, home

  def origin(self, instruction: Instruction) -> str:
    """Returns the line of the traced program that an instruction comes from.

    What the compiler made without a name has that of what it works on; "" where
    there is none.
    """
    calls, home = self._callers
    for _ in range(_STEPS):
      if instruction.op_name:
        return instruction.op_name
      before = next(
        (self._by_name[n] for n in instruction.operands if n in self._by_name),
        calls.get(home[instruction.name]),
      )
      if before is None:
        return ""
      instruction = before
    return ""


def parse(text: str) -> Module:
  """Returns the module that `Compiled.as_text()` shows."""
  entry, lines = "", {}
  current: list[str] | None = None
  for line in text.splitlines():
    if current is None:
      if line and not line[0].isspace() and (m := _COMPUTATION.match(line)):
        current = lines.setdefault(m[2], [])
        entry = m[2] if m[1] else entry
    elif line == "}":
      current = None
    elif hlo_line.LINE.match(line):
      current.append(line)
    elif current:  # A kernel's metadata are lines of their own.
      current[-1] += line
  computations = {
    name: tuple(filter(None, map(hlo_line.parse, own)))
    for name, own in lines.items()
  }
  turns, endless = {}, {}
  if entry:
    _run(computations, entry, 1, turns, endless)
  return Module(computations, turns, endless)


def _run(computations, name, times, turns, endless):
  """Adds the runs of a computation, and of all that it calls, to `turns`."""
  turns[name] = turns.get(name, 0) + times
  for instruction in computations.get(name, ()):
    trips = 1
    if instruction.opcode == "while":
      known = _trips(instruction, computations)
      trips = known or 1
      if known is None:
        endless[instruction.name] = _BODY.findall(instruction.rest)[0]
    for called in hlo_line.called(instruction):
      _run(computations, called, times * trips, turns, endless)


def _trips(loop, computations):
  """Returns the turns of a loop; None if they are not known."""
  if found := _TRIPS.search(loop.rest):
    return int(found[1])
  # TPUs' programs only have the condition: that of a scan is "count < turns",
  # and JAX counts them from 0.
  condition = computations.get(_CONDITION.findall(loop.rest)[0], ())
  if not condition or condition[-1].opcode != "compare":
    return None
  limit = condition[-1].operands[-1]
  if "direction=LT" not in condition[-1].rest:
    return None
  for instruction in condition:
    if instruction.name == limit and instruction.opcode == "constant":
      return int(instruction.rest.split(")")[0])
  return None


def nameless(lines: str) -> str:
  """Returns HLO with its names numbered as they come, and no metadata."""
  numbers = {}
  lines = re.sub(r", metadata={[^}]*}|, backend_config={.*}", "", lines)
  return re.sub(
    r"%[\w.\-]+",
    lambda name: f"%{numbers.setdefault(name[0], len(numbers))}",
    lines,
  )
