"""Memory of a training step with the state whole and split, by the compiler.

  python -m benchmarks.fsdp_memory [--model=van_b0] [--topology=v5e:4x4]
    [--fsdp=8] [--batch_size=256] [--image_size=224]
    [--widths=32,64,160,256] [--depths=1,1,1,1]

Compiles the run's own step in bfloat16 for TPUs that are not there, which
needs `pip install libtpu`: with the state split over --fsdp chips, whole, and
whole with `mesh.gradient_dtype="bfloat16"`. Prints for each the bytes of state
a chip, what the compiler says of arguments, temporaries and FLOPs a chip, its
collectives, and the bytes it sums by dtype; then the ratio of the temporaries.
B0 takes some five minutes and 5 GB for each; --depths makes a small one.
docs/performance.md's table is of

  python -m benchmarks.fsdp_memory --widths=32,64,128,128 --depths=1,1,1,1 \
    --image_size=32 --batch_size=16
"""

import argparse
import collections
import json
import os
import time
import types
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")

import jax
import jax.numpy as jnp

from configs import imagenet1k
from van_jax import ops, parallel
from van_jax.analysis import program
from van_jax.experiment import parts, recipe_task, start
from van_jax.parallel import absent, topologies

_IMAGES = 1_281_167  # Of ImageNet-1k.


def config_of(options: Any) -> Any:
  """Returns the config of a run by the command line."""
  config = imagenet1k.get_config(options.model)
  config.model.dtype = "bfloat16"
  config.batch_size = options.batch_size
  config.augmentation.image_size = options.image_size
  for key in ("widths", "depths"):
    if given := getattr(options, key):
      setattr(config.model, key, tuple(map(int, given.split(","))))
  return config


def devices_of(topology: topologies.Topology) -> list[Any]:
  """Returns devices that are not here, which all is compiled for from then."""
  ops.compile_for(topology.platform)
  return absent.devices(topology)


def compiled_step(config: Any, devices: Any) -> tuple[Any, Any]:
  """Returns the compiled step and the abstract state that it takes."""
  mesh = parts.create_mesh(config, devices)
  source: Any = types.SimpleNamespace(num_train=_IMAGES)
  recipe = parts.recipe(config, source)
  task = recipe_task.create_task(config)
  step: Any = parts.train_step(config, recipe, task, mesh, warm_up_average=True)
  state = start.abstract_state(config, recipe, mesh)
  return step.lower(state, batch_of(config, mesh)).compile(), state


def batch_of(config: Any, mesh: jax.sharding.Mesh) -> dict[str, Any]:
  """Returns the shapes of a batch of training, split over the mesh."""
  split = parallel.split_by_example(mesh)
  batch, size = config.batch_size, config.augmentation.image_size
  arrays = {
    "image": ((batch, size, size, 3), "uint8"),
    "label": ((batch,), "int32"),
  }
  return {
    name: jax.ShapeDtypeStruct(shape, jnp.dtype(dtype), sharding=split)
    for name, (shape, dtype) in arrays.items()
  }


def measure(config: Any, devices: Any) -> dict[str, Any]:
  """Returns what the compiler says of the step."""
  began = time.perf_counter()
  compiled, state = compiled_step(config, devices)
  seconds = time.perf_counter() - began
  fsdp = config.mesh.fsdp
  found = program.read(
    compiled, mesh_shape={"data": len(devices) // fsdp, "fsdp": fsdp}
  )
  counts: collections.Counter[str] = collections.Counter()
  summed: collections.Counter[str] = collections.Counter()
  for row in found.collectives:
    counts[row.kind] += row.count
    if row.kind == "all-reduce":
      summed[row.dtype] += row.bytes
  return {
    "fsdp": fsdp,
    "gradient_dtype": config.mesh.gradient_dtype,
    "state_bytes": parallel.shard_bytes(state),
    "argument_bytes": found.argument_bytes,
    "temporary_bytes": found.temporary_bytes,
    "peak_bytes": found.peak_bytes,
    "flops": found.flops,
    "collectives": dict(counts),
    "summed_bytes": dict(summed),
    "seconds": round(seconds),
  }


def main() -> None:
  """Prints four lines of JSON."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--model", default="van_b0")
  parser.add_argument("--topology", default="v5e:4x4")
  parser.add_argument("--fsdp", type=int, default=8)
  parser.add_argument("--batch_size", type=int, default=256)
  parser.add_argument("--image_size", type=int, default=224)
  parser.add_argument("--widths", default="", help="channels of the stages")
  parser.add_argument("--depths", default="", help="their blocks")
  options = parser.parse_args()
  devices = devices_of(topologies.parse(options.topology))
  temporaries = []
  for fsdp, dtype in (
    (options.fsdp, "float32"),
    (1, "float32"),
    (1, "bfloat16"),
  ):
    config = config_of(options)
    config.mesh.fsdp, config.mesh.gradient_dtype = fsdp, dtype
    row = measure(config, devices)
    temporaries.append(row["temporary_bytes"])
    print(json.dumps(row), flush=True)
  split, whole, _ = temporaries
  ratio = split / whole if split and whole else None
  print(json.dumps({"temporaries_split_over_whole": ratio}))


if __name__ == "__main__":
  main()
