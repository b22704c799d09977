"""The TPU compiler on a machine without a TPU, and what it says of cycles.

Import this before jax: libtpu reads its settings once.
"""

import os
import pathlib
import re
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
# A whole step's dump is gigabytes; only single kernels are read from it.
_DUMP = None
if os.environ.get("TPU_SCHEDULE_DUMP", "1") == "1":
  _DUMP = tempfile.TemporaryDirectory()
  os.environ["LIBTPU_INIT_ARGS"] = (
    f"--xla_jf_dump_to={_DUMP.name} --xla_jf_dump_llo_text=true"
  )

import jax  # noqa: E402
from jax.experimental import topologies  # noqa: E402
from jax.sharding import SingleDeviceSharding  # noqa: E402


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
  if _DUMP is not None:
    for file in pathlib.Path(_DUMP.name).iterdir():
      file.unlink()
  start = time.perf_counter()
  text = lowered.compile().as_text()
  return str(text), time.perf_counter() - start


def estimated_cycles(text: str, of: str = "") -> int:
  """Returns the compiler's cycles of XLA's own operations, of some of them.

  Pallas kernels have no such estimate.

  Args:
    text: optimised HLO.
    of: what their lines must hold.
  """
  return sum(
    int(match[1])
    for line in text.splitlines()
    if of in line and (match := re.search(r'"estimated_cycles":"(\d+)"', line))
  )


def loops_of(kernel: str) -> list[tuple[int, int]]:
  """Returns (depth, bundles) of each loop of the kernel compiled last.

  A bundle issues in one cycle. The grid's loop comes first, at depth 1; a
  loop's bundles do not count those of the loops inside. Predicated regions
  count as taken.

  Args:
    kernel: name of the Pallas kernel.
  """
  if _DUMP is None:
    raise ValueError("TPU_SCHEDULE_DUMP=0 keeps no schedule; leave it out.")
  (file,) = (
    path
    for path in pathlib.Path(_DUMP.name).glob(f"*{kernel}*final_bundles.txt")
    if "schedule-analysis" not in path.name
  )
  loops, opened, between = [[1, 0]], [0], 0
  for line in file.read_text().splitlines():
    match = re.match(r"\s*0x[0-9a-f]+\s+([A-Z]{2})?\s*:\s*(>*)\s", line)
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
