"""The final schedules that a TPU's compiler writes, in cycles.

"estimated_cycles" of HLO are another thing, up to 14 times as many. A bundle
issues in one cycle; stalls on memory are in no schedule.
"""

import collections
import json
import math
import pathlib
import re
from collections.abc import Sequence

from van_jax.analysis.program import hlo

_FILE = re.compile(r"\d+-(.*)-\d+-final_bundles\.txt")
_BUNDLE = re.compile(r"\s*0x[0-9a-f]+\s+([A-Z]{2})?\s*:\s*(>*)\s")
_STAGES = 2  # Turns in which a pipelined loop does not compute.
_TURNS = re.compile(r'"loops":"(\[[\d,\[\]]*\])"')
_VECTOR = re.compile(r" = (v[a-z]\w*)")
_EXIT = re.compile(r"scmp\.ge\.s32\.totalorder %\w+, (\d+) /\* loop exit test")
_GRID_EXIT = re.compile(rf"(?m)^\s*0x[0-9a-f]+\s+[A-Z ]*: > .*{_EXIT.pattern}")


def libtpu_arguments(folder: str | pathlib.Path) -> str:
  """Returns what makes libtpu write its schedules into a folder.

  It goes into the environment's LIBTPU_INIT_ARGS before libtpu is loaded, which
  reads it once. Empty the folder before each compilation.

  Args:
    folder: that exists.
  """
  return (
    f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true "
    "--xla_jf_dump_llo_pass_label_regex=final_bundles"
  )


def operations(
  module: hlo.Module, folder: str | pathlib.Path
) -> collections.Counter[str]:
  """Returns the cycles of each of XLA's own operations, once through.

  That is the bundles of its loop times the blocks that it runs over. Of
  operations that are alike but for names the compiler schedules one only;
  copies that run beside the others and Pallas kernels (see `kernel_cycles`)
  are left out.

  Args:
    module: the program compiled last.
    folder: of `libtpu_arguments`.

  Raises:
    ValueError: if an operation has no schedule, nor has one like it.
  """
  scheduled, of_kind = _scheduled(folder), {}
  bodies = {
    name: _body(instructions)
    for name, instructions in module.computations.items()
  }
  found = collections.Counter()
  kinds = {
    i.name: (i, _kind(i, bodies))
    for i, _ in module.executed()
    if "window_config" in i.rest
  }
  for name, (instruction, kind) in kinds.items():
    if name in scheduled:
      of_kind[kind] = _cycles(instruction, *scheduled[name])
  for name, (_, kind) in kinds.items():
    if kind not in of_kind:
      raise ValueError(f"{name} has no schedule, nor has one like it.")
    found[name] = of_kind[kind]
  return found


def cycles(module: hlo.Module, folder: str | pathlib.Path) -> int:
  """Returns the cycles of a run of the program, each loop as often as it turns.

  XLA's own operations and Pallas kernels whose metadata name the turns of their
  loops, as ours do.

  Args:
    module: the program compiled last.
    folder: of `libtpu_arguments`.

  Raises:
    ValueError: if an operation or a kernel has no schedule.
  """
  each = operations(module, folder) + _kernels(module, folder)
  return sum(each[i.name] * turns for i, turns in module.executed())


def _kernels(module, folder):
  """Returns the cycles of a call of each Pallas kernel."""
  kernels = {
    i.name: (i, _nameless(_type_of_call(i)))
    for i, _ in module.executed()
    if 'custom_call_target="tpu_custom_call"' in i.rest
  }
  names = {match for match, _ in _files(folder)}
  written = {kind: name for name, (_, kind) in kernels.items() if name in names}
  found = collections.Counter()
  for name, (instruction, kind) in kernels.items():
    turns = _TURNS.search(instruction.rest)
    if turns is None or kind not in written:
      raise ValueError(f"the kernel {name} has no schedule, or does not tell")
    found[name] = kernel_cycles(written[kind], json.loads(turns[1]), folder)
  return found


def _type_of_call(instruction):
  """Returns what kernels that are scheduled alike have in common."""
  body = re.sub(r"\.\d+", "", instruction.name)
  return f"{body} {instruction.type} {instruction.rest}"


def _cycles(instruction, outside, inside, turns):
  blocks = math.prod(_numbers("iteration_bounds", instruction.rest))
  # First and last the loop only fetches and stores. Some loops are not over
  # the blocks that HLO tells of: then the code is right.
  like = not turns or 0 <= turns - blocks <= _STAGES
  trips = blocks if like else turns - _STAGES
  return outside + inside * max(trips, 0)


def _scheduled(folder):
  """Returns each operation's bundles outside of its loop, in it, its turns."""
  return {name: _bundles(file) for name, file in _files(folder)}


def _files(folder):
  for file in pathlib.Path(folder).iterdir():
    if match := _FILE.fullmatch(file.name):
      yield match[1], file


def _bundles(file):
  outside = inside = turns = 0
  looping = False
  for line in file.read_text().splitlines():
    match = _BUNDLE.match(line)
    if match is None:
      continue
    looping = looping or match[1] == "LB"
    outside, inside = outside + (not looping), inside + looping
    if test := _EXIT.search(line):
      turns = int(test[1])
    if turns and "sbr.rel" in line:
      looping = False
  return outside, inside, turns


def _body(instructions):
  """Returns a computation without names."""
  return _nameless(
    "\n".join(f"%{i.name} = {i.type} {i.opcode}({i.rest}" for i in instructions)
  )


def _nameless(lines):
  """Returns HLO with its names numbered as they come, and no metadata."""
  numbers = {}
  lines = re.sub(r", metadata={[^}]*}|, backend_config={.*}", "", lines)
  return re.sub(
    r"%[\w.\-]+",
    lambda name: f"%{numbers.setdefault(name[0], len(numbers))}",
    lines,
  )


def _kind(instruction, bodies):
  """Returns what operations have in common that are scheduled alike."""
  called = re.search(r"(?:calls|to_apply)=%([\w.\-]+)", instruction.rest)
  windows = tuple(
    _numbers(f"{of}_bounds", instruction.rest)
    for of in ("iteration", "output_window", "kernel_window", "input_window")
  )
  return _body([instruction]), bodies[called[1]] if called else "", windows


def _numbers(name, text):
  match = re.search(rf'"{name}":\[([^\]]*)\]', text)
  return tuple(int(n) for n in re.findall(r"\d+", match[1])) if match else ()


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


def kernel_cycles(
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
    folder: of `libtpu_arguments`.

  Raises:
    ValueError: if the schedule has other loops.
  """
  text, depths = _text(kernel, folder), [depth for depth, _ in turns]
  exits = _GRID_EXIT.findall(text)
  # Of a chip's two cores each takes half; what is one step is no loop.
  readings = [(int(test) - _STAGES, 1) for test in exits[-1:]] + [(1, 0)]
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
    for name, path in _files(folder)
    if kernel in (name, re.sub(r"\.\d+$", "", name))
  )
  return file.read_text()


def _loops(text, grid_depth=1):
  """Returns the loops of a kernel: the grid's, and those inside, in order."""
  loops, opened, between = [_Loop(1)], [0], 0
  for line in text.splitlines():
    match = _BUNDLE.match(line)
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
