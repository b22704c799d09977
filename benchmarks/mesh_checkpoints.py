"""A model's checkpoints, from each mesh and number of processes onto others.

  python -m benchmarks.mesh_checkpoints [--model=van_b2]

A state of AdamW with averages, of random numbers, is saved by one process with
eight devices, replicated and split in eight, and by two of four; each is then
restored by one process on meshes of 8x1, 2x4, 1x8 and 1x1 (data x fsdp) and by
the two on 1x8. All numbers that a process holds are compared with those saved,
bit for bit. Prints a line of JSON; anything that differs ends it.
"""

import argparse
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

_DEVICES = 8
_WRITER = "two processes, 1x8"
_PATIENCE = 1200.0  # Seconds that the two processes may take.


def main() -> None:
  """Runs one process, or starts two."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--model", default="van_b2")
  parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
  parser.add_argument("--address", help=argparse.SUPPRESS)
  parser.add_argument("--process", type=int, help=argparse.SUPPRESS)
  options = parser.parse_args()
  count = 1 if options.process is None else 2
  os.environ["JAX_PLATFORMS"] = "cpu"
  os.environ["XLA_FLAGS"] = (
    f"--xla_force_host_platform_device_count={_DEVICES // count}"
  )
  if count == 2:
    _one_of_two(options)
    return
  with tempfile.TemporaryDirectory() as folder:
    print(json.dumps(_alone(options.model, pathlib.Path(folder))))


def _alone(model: str, folder: pathlib.Path) -> dict[str, Any]:
  """Returns what was compared, after all of it was equal."""
  seconds, meshes = {}, ("8x1", "2x4", "1x8", "1x1")
  for mesh in ("8x1", "1x8"):
    begin = time.perf_counter()
    saved_bytes = _save(model, folder / mesh, mesh)
    seconds[f"saved on {mesh}"] = time.perf_counter() - begin
  begin = time.perf_counter()
  _start_two(model, folder)
  seconds["two processes, all"] = time.perf_counter() - begin
  compared = 2  # By the two.
  for writer in ("8x1", "1x8", _WRITER):
    for mesh in meshes:
      begin = time.perf_counter()
      _restore(model, folder / writer, mesh)
      seconds[f"{writer} onto {mesh}"] = time.perf_counter() - begin
      compared += 1
  return {
    "model": model,
    "bytes": saved_bytes,
    "restored_and_equal": compared,
    "seconds": {name: round(took, 1) for name, took in seconds.items()},
  }


def _start_two(model, folder):
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
  command = [sys.executable, "-m", "benchmarks.mesh_checkpoints"]
  command += [f"--model={model}", f"--folder={folder}", f"--address={address}"]
  processes = [subprocess.Popen([*command, f"--process={i}"]) for i in range(2)]
  try:
    for process in processes:
      if process.wait(_PATIENCE):
        sys.exit(f"error: one of two processes ended with {process.returncode}")
  finally:
    for process in processes:
      process.kill()


def _one_of_two(options):
  import jax

  jax.distributed.initialize(options.address, 2, options.process)
  for writer in ("8x1", "1x8"):
    _restore(options.model, options.folder / writer, "1x8")
  _save(options.model, options.folder / _WRITER, "1x8")


def _save(model, folder, mesh):
  """Saves the state from a mesh; returns its bytes."""
  import jax
  import numpy as np

  from van_jax.training.run import checkpoint

  like = _abstract(model, mesh)
  leaves, tree = jax.tree.flatten(like)
  placed = []
  for index, leaf in enumerate(leaves):
    numbers = _numbers(index, leaf)
    placed.append(
      jax.make_array_from_callback(
        leaf.shape, leaf.sharding, lambda at, n=numbers: np.asarray(n)[at]
      )
    )
  with contextlib.closing(
    checkpoint.Checkpointer(
      folder, keep_last=1, keep_best=0, best="top1", best_mode="max"
    )
  ) as checkpointer:
    checkpointer.save(1, jax.tree.unflatten(tree, placed))
  return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def _restore(model, folder, mesh):
  """Restores the state onto a mesh, and compares all that is here."""
  import jax
  import numpy as np

  from van_jax.training.run import restoring

  found = restoring.restore(folder, 1, _abstract(model, mesh))
  for index, leaf in enumerate(jax.tree.leaves(found)):
    numbers = np.asarray(_numbers(index, leaf))
    for shard in leaf.addressable_shards:
      np.testing.assert_array_equal(
        np.asarray(shard.data), numbers[shard.index]
      )


def _abstract(model, mesh):
  """Returns the shapes of a state, placed as a run's are."""
  import jax
  import jax.numpy as jnp
  import numpy as np
  import optax
  from jax.sharding import Mesh

  import van_jax
  from van_jax import parallel
  from van_jax.training import state

  van = van_jax.create_model(model)

  def create():
    images = jnp.zeros((1, 32, 32, 3))
    variables: Any = van.init(jax.random.key(0), images, train=False)
    return state.create_state(variables, optax.adamw(1e-3), ema=True)

  data, fsdp = map(int, mesh.split("x"))
  devices = np.array(jax.devices()[: data * fsdp]).reshape(data, fsdp)
  return parallel.with_shardings(
    jax.eval_shape(create), Mesh(devices, ("data", "fsdp"))
  )


def _numbers(index, leaf):
  """Returns the numbers of a leaf of the state, by its place in it."""
  import numpy as np

  random = np.random.default_rng(index)
  if np.issubdtype(leaf.dtype, np.integer):
    return random.integers(1, 1000, leaf.shape, leaf.dtype)
  return random.normal(size=leaf.shape).astype(leaf.dtype)


if __name__ == "__main__":
  main()
