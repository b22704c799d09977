"""One line of HLO's text: what an instruction makes, takes and runs."""

import dataclasses
import math
import re
from collections.abc import Iterator

LINE = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*)")
_OPCODE = re.compile(r" ?([a-z][\w\-]*)\(")
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,<= ]*)\](?:{([^{}]*)})?")
_CALLED = re.compile(
  r"(calls|body|condition|to_apply|true_computation|false_computation)="
  r"%?([\w.\-]+)"
)
_LISTED = re.compile(r"(?:branch_computations|called_computations)={([^{}]*)}")
_COMMENT = re.compile(r"/\*.*?\*/")  # The number of every fifth operand.
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
    inside = _COMMENT.sub("", self.rest[: _closing(self.rest)])
    parts = re.split(r",(?![^\[{(]*[\]})])", inside)
    return tuple(p.split()[-1].lstrip("%") for p in parts if p.strip())

  @property
  def op_name(self) -> str:
    """Which line of the traced program it comes from; "" where unknown."""
    found = _OP_NAME.search(self.rest)
    return found[1] if found else ""


def parse(line: str) -> Instruction | None:
  """Returns the instruction of a line that `LINE` matches; None if unknown."""
  ((name, body),) = LINE.findall(line)
  end = _closing(body[1:]) + 2 if body[0] == "(" else body.find(" ")
  found = _OPCODE.match(body, end)
  if end < 0 or found is None:
    return None
  return Instruction(name, body[:end], found[1], body[found.end() :])


# Of pairs that run beside the program both halves name what they call.
_CALLING_NONE = (
  *("async-update", "async-done", "reduce", "reduce-window", "scatter"),
  *("select-and-scatter", "sort", "map", "all-reduce", "all-reduce-start"),
  *("all-reduce-done", "reduce-scatter"),
)


def called(instruction: Instruction) -> Iterator[str]:
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


def _closing(text):
  """Returns where a bracket that was opened before the text is closed."""
  depth = 1
  for bracket in re.finditer(r"[()]", text):
    depth += 1 if bracket[0] == "(" else -1
    if depth == 0:
      return bracket.start()
  return len(text)
