"""The cycles of a program for TPUs, by the schedules of its operations."""

import collections
import math
import pathlib
import re

from van_jax.analysis.program import dumps, hlo, kernel_schedule


def operations(
  module: hlo.Module, folder: str | pathlib.Path
) -> collections.Counter[str]:
  """Returns the cycles of each of XLA's own operations, once through.

  That is the bundles of its loop times the blocks that it runs over. Of
  operations that are alike but for names the compiler schedules one only;
  copies that run beside the others and Pallas kernels (see `kernel_schedule`)
  are left out.

  Args:
    module: the program compiled last.
    folder: of `dumps.libtpu_arguments`.

  Raises:
    ValueError: if an operation has no schedule, nor has one like it.
  """
  scheduled, of_kind = _scheduled(folder), {}
  bodies = {
    name: _body(sorted(instructions, key=_parameters_first))
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
    folder: of `dumps.libtpu_arguments`.

  Raises:
    ValueError: if an operation or a kernel has no schedule.
  """
  each = operations(module, folder) + kernel_schedule.kernels(module, folder)
  return sum(each[i.name] * turns for i, turns in module.executed())


def _cycles(instruction, outside, inside, turns):
  blocks = math.prod(_numbers("iteration_bounds", instruction.rest))
  # First and last the loop only fetches and stores. Some loops are not over
  # the blocks that HLO tells of: then the code is right.
  like = not turns or 0 <= turns - blocks <= dumps.STAGES
  trips = blocks if like else turns - dumps.STAGES
  return outside + inside * max(trips, 0)


def _scheduled(folder):
  """Returns each operation's bundles outside of its loop, in it, its turns."""
  return {name: _bundles(file) for name, file in dumps.files(folder)}


def _bundles(file):
  outside = inside = turns = 0
  looping = False
  for line in file.read_text().splitlines():
    match = dumps.BUNDLE.match(line)
    if match is None:
      continue
    looping = looping or match[1] == "LB"
    outside, inside = outside + (not looping), inside + looping
    if test := dumps.EXIT.search(line):
      turns = int(test[1])
    if turns and "sbr.rel" in line:
      looping = False
  return outside, inside, turns


def _body(instructions):
  """Returns a computation without names."""
  return hlo.nameless(
    "\n".join(f"%{i.name} = {i.type} {i.opcode}({i.rest}" for i in instructions)
  )


def _parameters_first(instruction):
  """Returns a key: two sums that are alike may name theirs in another order."""
  is_one = instruction.opcode == "parameter"
  return not is_one, instruction.rest if is_one else ""


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
