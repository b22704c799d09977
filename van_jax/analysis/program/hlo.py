"""The text of an optimised HLO module: its instructions, how often each runs.

Read from text since that is what every backend gives (`as_text`), with tiled
layouts and backend configs that XLA's own Python objects do not show.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.\-]+)(?: \(.*)? {$")
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*)")
_OPCODE = re.compile(r" ?([a-z][\w\-]*)\(")
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,<= ]*)\](?:{([^{}]*)})?")
_CALLED = re.compile(
  r"(calls|body|condition|to_apply|true_computation|false_computation)="
  r"%?([\w.\-]+)"
)
_LISTED = re.compile(r"(?:branch_computations|called_computations)={([^{}]*)}")
_BODY = re.compile(r"body=%?([\w.\-]+)")
_CONDITION = re.compile(r"condition=%?([\w.\-]+)")
_TRIPS = re.compile(r'"known_trip_count":\s*{\s*"n":\s*"?(\d+)')
_STEPS = 16  # Back along operands, to one that has a name.
_OP_NAME = re.compile(r'op_name="([^"]*)"')


@dataclasses.dataclass(frozen=True)
class Array:
  """An array's type.

  Attributes:
    dtype: as HLO calls it, bf16 or pred say.
    dims: its shape.
    layout: what stands in braces behind it, {1,0:T(8,128)} say; "" for none.
  """

  dtype: str
  dims: tuple[int, ...]
  layout: str = ""

  @property
  def bytes(self) -> int:
    """Its size, without the padding of tiles."""
    return -(-math.prod(self.dims) * bits(self.dtype) // 8)


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of a computation.

  Attributes:
    name: without its %.
    type: of the result, as written.
    opcode: all-reduce, say.
    rest: the line behind the opcode's bracket: operands and attributes.
  """

  name: str
  type: str
  opcode: str
  rest: str

  @property
  def arrays(self) -> tuple[Array, ...]:
    """The arrays of the result, those of tuples in order."""
    return arrays_of(self.type)

  @property
  def operands(self) -> tuple[str, ...]:
    """Names of the operands."""
    inside = self.rest[: _closing(self.rest, depth=1)]
    parts = re.split(r",(?![^\[{(]*[\]})])", inside)
    return tuple(p.split()[-1].lstrip("%") for p in parts if p.strip())

  @property
  def op_name(self) -> str:
    """Which line of the traced program it comes from; "" where unknown."""
    found = _OP_NAME.search(self.rest)
    return found[1] if found else ""


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
      for called in _called(instruction):
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
        for called in _called(instruction):
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
    elif _INSTRUCTION.match(line):
      current.append(line)
    elif current:  # A kernel's metadata are lines of their own.
      current[-1] += line
  computations = {
    name: tuple(filter(None, map(_instruction, own)))
    for name, own in lines.items()
  }
  turns, endless = {}, {}
  if entry:
    _run(computations, entry, 1, turns, endless)
  return Module(computations, turns, endless)


def _instruction(line):
  ((name, body),) = _INSTRUCTION.findall(line)
  end = _closing(body[1:], depth=1) + 2 if body[0] == "(" else body.find(" ")
  found = _OPCODE.match(body, end)
  if end < 0 or found is None:
    return None
  return Instruction(name, body[:end], found[1], body[found.end() :])


def _closing(text, depth):
  """Returns where `depth` brackets opened before the text are closed."""
  for bracket in re.finditer(r"[()]", text):
    depth += 1 if bracket[0] == "(" else -1
    if depth == 0:
      return bracket.start()
  return len(text)


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
    for called in _called(instruction):
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


# Of pairs that run beside the program both halves name what they call.
_CALLING_NONE = (
  *("async-update", "async-done", "reduce", "reduce-window", "scatter"),
  *("select-and-scatter", "sort", "map", "all-reduce", "all-reduce-start"),
  *("all-reduce-done", "reduce-scatter"),
)


def _called(instruction):
  """Yields the computations that an instruction runs, as often as it runs."""
  if instruction.opcode in _CALLING_NONE:
    return
  for match in _CALLED.finditer(instruction.rest):
    yield match[2]
  for match in _LISTED.finditer(instruction.rest):
    yield from re.findall(r"[\w.\-]+", match[1])


def arrays_of(type_: str) -> tuple[Array, ...]:
  """Returns the arrays of a type as HLO writes it, those of tuples in order."""
  return tuple(
    Array(m[1], tuple(map(int, re.findall(r"\d+", m[2]))), m[3] or "")
    for m in _ARRAY.finditer(type_)
  )


def bits(dtype: str) -> int:
  """Returns the bits of a number; 0 for tokens."""
  if dtype == "pred":
    return 8
  found = re.match(r"[a-z]+(\d+)", dtype)
  return int(found[1]) if found else 0


def nameless(lines: str) -> str:
  """Returns HLO with its names numbered as they come, and no metadata."""
  numbers = {}
  lines = re.sub(r", metadata={[^}]*}|, backend_config={.*}", "", lines)
  return re.sub(
    r"%[\w.\-]+",
    lambda name: f"%{numbers.setdefault(name[0], len(numbers))}",
    lines,
  )
