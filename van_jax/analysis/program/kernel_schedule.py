"""The schedules of Pallas kernels whose metadata name their loops' turns.

A schedule tells the bundles of each loop, and not how often it turns, where
its ends are computed.
"""

import collections
import json
import pathlib
import re
from collections.abc import Sequence

from van_jax.analysis.program import dumps, hlo

_TURNS = re.compile(r'"loops":"(\[[\d,\[\]]*\])"')
_VECTOR = re.compile(r" = (v[a-z]\w*)")
_GRID_EXIT = re.compile(
  rf"(?m)^\s*0x[0-9a-f]+\s+[A-Z ]*: > .*{dumps.EXIT.pattern}"
)


def kernels(
  module: hlo.Module, folder: str | pathlib.Path
) -> collections.Counter[str]:
  """Returns the cycles of a call of each Pallas kernel of a program.

  Args:
    module: the program compiled last.
    folder: of `dumps.libtpu_arguments`.

  Raises:
    ValueError: if a kernel has no schedule, or does not tell its turns.
  """
  kernels = {
    i.name: (i, hlo.nameless(_type_of_call(i)))
    for i, _ in module.executed()
    if 'custom_call_target="tpu_custom_call"' in i.rest
  }
  names = {match for match, _ in dumps.files(folder)}
  written = {kind: name for name, (_, kind) in kernels.items() if name in names}
  found = collections.Counter()
  for name, (instruction, kind) in kernels.items():
    turns = _TURNS.search(instruction.rest)
    if turns is None or kind not in written:
      raise ValueError(f"the kernel {name} has no schedule, or does not tell")
    found[name] = cycles(written[kind], json.loads(turns[1]), folder)
  return found


def _type_of_call(instruction):
  """Returns what kernels that are scheduled alike have in common."""
  body = re.sub(r"\.\d+", "", instruction.name)
  return f"{body} {instruction.type} {instruction.rest}"


class _Loop:
  """A loop of a kernel's schedule.

  Attributes:
    depth: loops around it, and itself.
    bundles: of a turn, but for those of the loops inside.
  """

  def __init__(self, depth: int):
    self.depth, self.bundles, self._vectors = depth, 0, set()

  @property
  def copies(self) -> bool:
    """Whether all that its vector units do is to load and to store."""
    return {"vld", "vst"} <= self._vectors <= {"vld", "vst", "vphi"}

  def add(self, line: str) -> None:
    """Counts a bundle."""
    self.bundles += 1
    self._vectors.update(_VECTOR.findall(line))


def cycles(
  kernel: str, turns: Sequence[tuple[int, int]], folder: str | pathlib.Path
) -> int:
  """Returns the cycles of a call of the Pallas kernel compiled last.

  Predicated regions count as taken. Where the kernel's last block is cut off
  by the end of the map, the compiler copies it in loops of its own, as long as
  the block turns out to be: they are left out.

  Args:
    kernel: its name; without a number, of the only such one.
    turns: (depth, turns in a call) of each loop that the kernel has, the
      grid's first, at depth 1.
    folder: of `dumps.libtpu_arguments`.

  Raises:
    ValueError: if the schedule has other loops.
  """
  text, depths = _text(kernel, folder), [depth for depth, _ in turns]
  exits = _GRID_EXIT.findall(text)
  # Of a chip's two cores each takes half; what is one step is no loop.
  readings = [(int(test) - dumps.STAGES, 1) for test in exits[-1:]] + [(1, 0)]
  for steps, grid_depth in readings:
    loops = _loops(text, grid_depth=grid_depth)
    if len(loops) > len(depths):
      loops = [loop for loop in loops if not loop.copies]
    if [loop.depth for loop in loops] == depths:
      pairs = zip(turns, loops, strict=True)
      cycles_of_all = sum(n * loop.bundles for (_, n), loop in pairs)
      return round(cycles_of_all * steps / turns[0][1])
  scheduled = [(loop.depth, loop.bundles) for loop in _loops(text)]
  raise ValueError(
    f"the loops of the kernel {kernel}, {scheduled}, are not those that it "
    f"tells of, {turns}: the compiler unrolled some."
  )


def _text(kernel, folder):
  (file,) = (
    path
    for name, path in dumps.files(folder)
    if kernel in (name, re.sub(r"\.\d+$", "", name))
  )
  return file.read_text()


def _loops(text, grid_depth=1):
  """Returns the loops of a kernel: the grid's, and those inside, in order."""
  loops, opened, between = [_Loop(1)], [0], 0
  for line in text.splitlines():
    match = dumps.BUNDLE.match(line)
    if match is None:
      continue
    label, depth = match[1], len(match[2]) + 1 - grid_depth
    if depth == 0:  # Glue; it belongs to the loop around what follows.
      between += 1
      continue
    starts = label == "LB" and depth > 1
    del opened[depth - starts :]
    loops[opened[-1]].bundles += between
    between = 0
    if starts:
      opened.append(len(loops))
      loops.append(_Loop(depth))
    loops[opened[-1]].add(line)
  return loops
