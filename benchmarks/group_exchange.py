"""What groups of BatchNorm and of mixing make chips exchange, by the compiler.

  python -m benchmarks.group_exchange [--topology=v5e:16x16] [--images=16]
    [--image_size=64] [--widths=32,64,160,256] [--depths=1,1,1,1]
    [--groups=whole,128,16] [--without_network]

Compiles B0's own training step, of --depths blocks a stage, in bfloat16 for
TPUs that are not there, which needs `pip install libtpu`: with
`model.batch_norm_group_size` and `mixing.group_size` of each of --groups in
turn ("whole": None, the whole batch). Prints, a chip and step, how many
collectives each cause has and their bytes. Images a chip are --images; bytes of
partners grow with the area of an image, those of the rest with the network.
--without_network compiles mixing, normalising and erasing alone: half a minute
for the whole network's several.
"""

import argparse
from collections import defaultdict
from typing import Any

from benchmarks import fsdp_memory  # First, as it sets what libtpu reads.

# isort: split
import jax

from van_jax import parallel
from van_jax.analysis import program
from van_jax.experiment import parts, recipe_task
from van_jax.parallel import topologies

CAUSES = ("partners", "BatchNorm", "gradients", "other")


def cause(row: program.Collective) -> str:
  """Returns what an exchange is for, by its kind and its line's name."""
  if row.kind != "all-reduce":
    return "partners"
  if "norm" in row.op_name.lower() and row.bytes // row.count < 1 << 16:
    return "BatchNorm"
  return "gradients" if "transpose(" in row.op_name else "other"


def compiled_preparation(config: Any, devices: Any) -> jax.stages.Compiled:
  """Returns what a step does before its network, compiled."""
  mesh = parts.create_mesh(config, devices)
  prepare = recipe_task.create_task(config).prepare
  split = parallel.split_by_example(mesh)

  def prepared(batch):
    return prepare(jax.random.key(config.seed), batch)

  jitted = jax.jit(prepared, out_shardings=split)
  return jitted.lower(fsdp_memory.batch_of(config, mesh)).compile()


def main() -> None:
  """Prints a table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--model", default="van_b0")
  parser.add_argument("--topology", default="v5e:16x16")
  parser.add_argument("--images", type=int, default=16, help="a chip")
  parser.add_argument("--image_size", type=int, default=64)
  parser.add_argument("--widths", default="", help="channels of the stages")
  parser.add_argument("--depths", default="1,1,1,1", help="their blocks")
  parser.add_argument("--groups", default="whole,128,16")
  parser.add_argument("--without_network", action="store_true")
  options = parser.parse_args()
  topology = topologies.parse(options.topology)
  devices = fsdp_memory.devices_of(topology)
  options.batch_size = options.images * len(devices)
  print(f"{'groups':>8}" + "".join(f"{name:>22}" for name in CAUSES))
  for group in options.groups.split(","):
    config = fsdp_memory.config_of(options)
    size = None if group == "whole" else int(group)
    config.model.batch_norm_group_size = size
    config.mixing.group_size = size
    if options.without_network:
      compiled = compiled_preparation(config, devices)
    else:
      compiled, _ = fsdp_memory.compiled_step(config, devices)
    mesh_shape = {"data": len(devices), "fsdp": 1}
    found = program.read(
      compiled, mesh_shape=mesh_shape, slices=topology.slices
    )
    sums = defaultdict(lambda: [0, 0])
    for row in found.collectives:
      sums[cause(row)][0] += row.count
      sums[cause(row)][1] += row.bytes
    cells = (f"{sums[c][0]:>6} {program.size(sums[c][1]):>15}" for c in CAUSES)
    print(f"{group:>8}" + "".join(cells), flush=True)
    for line in program.describe(found, name=f"groups {group}"):
      print(f"    {line}", flush=True)


if __name__ == "__main__":
  main()
