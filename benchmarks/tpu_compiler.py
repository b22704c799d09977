"""The TPU compiler on a machine without a TPU, and the schedules it makes.

Import this before jax: libtpu reads its settings once.
"""

import collections
import math
import os
import pathlib
import re
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
_DUMP = tempfile.TemporaryDirectory()
os.environ["LIBTPU_INIT_ARGS"] = (
  f"--xla_jf_dump_to={_DUMP.name} --xla_jf_dump_llo_text=true "
  "--xla_jf_dump_llo_pass_label_regex=final_bundles"
)

import jax  # noqa: E402
from jax.experimental import topologies  # noqa: E402
from jax.sharding import SingleDeviceSharding  # noqa: E402

_FILE = re.compile(r"\d+-(.*)-\d+-final_bundles\.txt")
_BUNDLE = re.compile(r"\s*0x[0-9a-f]+\s+([A-Z]{2})?\s*:\s*(>*)\s")
_STAGES = 2  # Turns in which a pipelined loop does not compute, at most.
_EXIT = re.compile(r"scmp\.ge\.s32\.totalorder %\w+, (\d+) /\* loop exit test")


def compile_for(topology: str, function, *arguments) -> tuple[str, float]:
  """Returns the optimised HLO of a jitted function, and seconds it took.

  Args:
    topology: v5e:2x2, say; the program is for one chip of it.
    function: of the arguments.
    *arguments: trees of arrays or ShapeDtypeStructs.
  """
  devices = topologies.get_topology_desc(
    platform="tpu", topology_name=topology
  ).devices
  sharding = SingleDeviceSharding(devices[0])
  shapes = jax.tree.map(
    lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding),
    arguments,
  )
  lowered = jax.jit(function).lower(*shapes)
  for file in pathlib.Path(_DUMP.name).iterdir():
    file.unlink()
  start = time.perf_counter()
  text = lowered.compile().as_text()
  return str(text), time.perf_counter() - start


def scheduled_cycles(text: str) -> collections.Counter[str]:
  """Returns the cycles of each of XLA's own operations, by its schedule.

  That is the bundles of its loop times the blocks that it runs over; a bundle
  issues in one cycle. Stalls on memory are not in it. Of operations that are
  alike but for names the compiler schedules one only; copies that run beside
  the others and Pallas kernels (see `loops_of`) are left out.

  Args:
    text: optimised HLO of the program compiled last.
  """
  bodies = _bodies(text)
  cycles, of_kind, found = _scheduled(), {}, collections.Counter()
  operations = [
    (match[1], line, _kind(line, bodies))
    for line in text.splitlines()
    if (match := re.match(r"\s*(?:ROOT )?%([\w.\-]+) = .*window_config", line))
  ]
  for name, line, kind in operations:
    if name in cycles:
      outside, inside, turns = cycles[name]
      blocks = math.prod(_numbers("iteration_bounds", line))
      # First and last the loop only fetches and stores. Some loops are not
      # over the blocks that HLO tells of: then the code is right.
      like = not turns or 0 <= turns - blocks <= _STAGES
      trips = blocks if like else turns - _STAGES
      of_kind[kind] = outside + inside * max(trips, 0)
  for name, _, kind in operations:
    if kind not in of_kind:
      raise ValueError(f"{name} has no schedule, nor has one like it.")
    found[name] = of_kind[kind]
  return found


def _scheduled():
  """Returns each operation's bundles outside of its loop, in it, its turns."""
  return {
    match[1]: _bundles(file)
    for file in pathlib.Path(_DUMP.name).iterdir()
    if (match := _FILE.fullmatch(file.name))
  }


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


def _bodies(text):
  """Returns the lines of each computation, without names."""
  bodies, name = {}, None
  for line in text.splitlines():
    if match := re.match(r"(?:ENTRY )?%([\w.\-]+) \(.*{$", line):
      name = match[1]
      bodies[name] = []
    elif name is not None:
      bodies[name].append(line)
  return {name: _nameless("\n".join(lines)) for name, lines in bodies.items()}


def _nameless(lines):
  """Returns HLO with its names numbered as they come, and no metadata."""
  numbers = {}
  lines = re.sub(r", metadata={[^}]*}|, backend_config={.*}", "", lines)
  return re.sub(
    r"%[\w.\-]+",
    lambda name: f"%{numbers.setdefault(name[0], len(numbers))}",
    lines,
  )


def _kind(line, bodies):
  """Returns what operations have in common that are scheduled alike."""
  called = re.search(r"(?:calls|to_apply)=%([\w.\-]+)", line)
  windows = tuple(
    _numbers(f"{of}_bounds", line)
    for of in ("iteration", "output_window", "kernel_window", "input_window")
  )
  return _nameless(line), bodies[called[1]] if called else "", windows


def _numbers(name, line):
  match = re.search(rf'"{name}":\[([^\]]*)\]', line)
  return tuple(int(n) for n in re.findall(r"\d+", match[1])) if match else ()


def loops_of(kernel: str) -> list[tuple[int, int]]:
  """Returns (depth, bundles) of each loop of the kernel compiled last.

  A bundle issues in one cycle. The grid's loop comes first, at depth 1; a
  loop's bundles do not count those of the loops inside. Predicated regions
  count as taken.

  Args:
    kernel: name of the Pallas kernel.
  """
  (file,) = (
    path
    for path in pathlib.Path(_DUMP.name).iterdir()
    if (match := _FILE.fullmatch(path.name)) and match[1].startswith(kernel)
  )
  loops, opened, between = [[1, 0]], [0], 0
  for line in file.read_text().splitlines():
    match = _BUNDLE.match(line)
    if match is None:
      continue
    label, depth = match[1], len(match[2])
    if depth == 0:  # Glue; it belongs to the loop around what follows.
      between += 1
      continue
    starts = label == "LB" and depth > 1
    del opened[depth - starts :]
    loops[opened[-1]][1] += between
    between = 0
    if starts:
      opened.append(len(loops))
      loops.append([depth, 0])
    loops[opened[-1]][1] += 1
  return [(depth, bundles) for depth, bundles in loops]
