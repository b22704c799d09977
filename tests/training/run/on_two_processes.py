"""One of two processes that read and write the same checkpoints and bundle.

  python on_two_processes.py FOLDER ADDRESS PROCESS

FOLDER has `alone`, written by one process, `old1` and `old2`, the same as
versions 1 and 2 left it, and `damaged`, whose step 2 process 1 cannot read.
"""

import contextlib
import os
import pathlib
import sys
import traceback
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from van_jax import bundle, models, parallel
from van_jax.data.images import preprocessing
from van_jax.training.run import checkpoint, restoring
from van_jax.training.state import TrainState


def open_checkpoints(folder, **changes):
  options = {"keep_last": 5, "keep_best": 0, "save_seconds": 60.0}
  options |= {"best": "top1", "best_mode": "max"}
  return contextlib.closing(
    checkpoint.Checkpointer(folder, **(options | changes))
  )


def numbers(step):
  """Returns a state's arrays of a step, NumPy's: one axis of some is 4 n."""
  random = np.random.default_rng(step)

  def draw(*shape):
    return random.normal(size=shape).astype(np.float32)

  params = {"kernel": draw(3, 8, 20), "wide": draw(16, 5), "bias": draw(7)}
  stats = {"mean": draw(12)}
  moments = {"mu": draw(3, 8, 20), "count": np.int32(step)}
  ema = {"params": {k: -x for k, x in params.items()}, "batch_stats": stats}
  return {
    "step": np.int32(step),
    "params": params,
    "batch_stats": stats,
    "opt_state": moments,
    "ema": ema,
  }


def spread(tree, mesh):
  """Returns shapes with shardings: split along what "fsdp" divides, if any."""

  def like(x):
    fits = [i for i, n in enumerate(x.shape) if n % mesh.shape["fsdp"] == 0]
    names = [None] * (fits[-1]) + ["fsdp"] if fits else []
    sharding = NamedSharding(mesh, PartitionSpec(*names))
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

  return jax.tree.map(like, tree)


def make_state(step, mesh) -> Any:
  arrays = numbers(step)
  placed = jax.tree.map(
    lambda x, like: jax.make_array_from_callback(
      x.shape, like.sharding, lambda index: np.asarray(x)[index]
    ),
    arrays,
    spread(arrays, mesh),
  )
  return TrainState(**placed)


def abstract(mesh) -> Any:
  return TrainState(**spread(numbers(0), mesh))


def assert_is(found, step):
  """Compares the shards that are here with the numbers of a step."""
  expected = numbers(step)
  for name, tree in expected.items():
    part = found[name] if isinstance(found, dict) else getattr(found, name)
    jax.tree.map(assert_equal, part, tree)


def assert_equal(array, expected):
  assert array.shape == np.shape(expected)
  for shard in array.addressable_shards:
    there = np.asarray(expected)[shard.index]
    np.testing.assert_array_equal(np.asarray(shard.data), there)


def main(folder, address, process):
  jax.distributed.initialize(address, 2, process)
  folder = pathlib.Path(folder)
  mesh = Mesh(np.array(jax.devices()).reshape(1, 4), ("data", "fsdp"))

  with open_checkpoints(folder / "together") as checkpointer:
    checkpointer.save(1, make_state(1, mesh))
    checkpointer.save(2, make_state(2, mesh), {"top1": 0.5})
  with open_checkpoints(folder / "together") as checkpointer:
    assert_is(checkpointer.restore_latest(abstract(mesh)), 2)

  for name in ("alone", "old1", "old2"):
    found = restoring.restore(folder / name, 1, abstract(mesh))
    assert_is(found, 1)
    assert not found.params["kernel"].is_fully_addressable, "it is whole"
    arrays = numbers(1)
    like = {k: spread(arrays[k], mesh) for k in ("params", "batch_stats")}
    weights = restoring.restore_weights(folder / name, 1, like, averaged=True)
    jax.tree.map(assert_equal, weights, arrays["ema"])

  if process == 1:  # Its share of the disk fails; the other reads well.
    reader: Any = ocp.Checkpointer
    usual = reader.restore

    def fail(self, path, **options):
      if path.name == "2":
        raise ValueError("this part is damaged")
      return usual(self, path, **options)

    reader.restore = fail
  with open_checkpoints(folder / "damaged") as checkpointer:
    assert_is(checkpointer.restore_latest(abstract(mesh)), 1)

  model = models.create_model(
    "van_b0",
    widths=(8, 8, 16, 16),
    depths=(1, 1, 1, 1),
    ffn_ratios=(2, 2, 2, 2),
    num_classes=5,
    implementation="xla",
  )
  shapes = models.variable_shapes(model)
  variables = jax.tree.map(
    lambda like: jax.make_array_from_callback(
      like.shape,
      like.sharding,
      lambda index: np.arange(like.size, dtype=np.float32).reshape(like.shape)[
        index
      ],
    ),
    spread(shapes, mesh),
  )
  fields = {
    "model": model,
    "preprocessing": preprocessing.Preprocessing(),
    "source": {},
  }
  try:
    bundle.save_bundle(folder / "bundle", variables=variables, **fields)
  except ValueError as error:
    assert "other processes" in str(error)  # noqa: PT017
  else:
    raise AssertionError("a bundle was written of a part of the weights")
  whole = jax.tree.map(parallel.whole_array, variables)
  if process == 0:
    bundle.save_bundle(folder / "bundle", variables=whole, **fields)
  print("all of it held")


if __name__ == "__main__":
  try:
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
  except BaseException:
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)  # Without waiting for the other, which waits for this one.
