"""One of several processes that do two steps and a score; a test starts it.

  python processes_worker.py PORT PROCESSES INDEX OUTPUT

The first one writes what they computed, as arrays by name.
"""

import sys
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util

from van_jax import parallel
from van_jax.evaluation import evaluator
from van_jax.models import layers, strided
from van_jax.models.batch_norm import BatchNorm
from van_jax.tasks import accuracy
from van_jax.training import state as state_lib, step as step_lib

STEPS, RATE, CLASSES = 2, 1e-2, 5


class Network(nn.Module):
  """A stage of VAN without its attention, and a head."""

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps [B, H, W, 3] to [B, CLASSES]."""
    run: Any = {"implementation": "xla"}
    x = strided.StridedConv(64, 3, 2, **run, name="embed")(x)
    x = BatchNorm(name="norm")(x, train=train)
    x = layers.Depthwise(3, **run, name="depthwise")(x)
    x = layers.FeedForward(4, **run, name="mlp")(x, train=train)
    return nn.Dense(CLASSES, name="head")(jnp.mean(x, (1, 2)))


def batch_of(step: int) -> dict[str, np.ndarray]:
  """Returns all examples of a step, in the order of the devices."""
  numbers = np.random.default_rng(step)
  return {
    "image": numbers.standard_normal((16, 8, 8, 3), np.float32),
    "label": numbers.integers(0, CLASSES, 16, dtype=np.int32),
    "mask": np.arange(16) < 13,
  }


def loss(outputs: jax.Array, labels: jax.Array) -> tuple[jax.Array, Any]:
  """Returns the mean cross-entropy, and no more metrics."""
  losses = optax.softmax_cross_entropy_with_integer_labels(outputs, labels)
  return losses.mean(), {}


def compute(fsdp: int, index: int = 0, count: int = 1) -> dict[str, np.ndarray]:
  """Returns states, moments, metrics and scores; {} but in the first process.

  Args:
    fsdp: of the mesh.
    index: of this process.
    count: of processes.
  """
  mesh = parallel.create_mesh(fsdp=fsdp)
  network = Network()
  # With 1e-8 the sign of a gradient that is zero but for rounding would count.
  optimizer = optax.adam(RATE, 0.9, 0.999, eps=1e-3)

  def create():
    images = jnp.zeros((1, 8, 8, 3))
    variables: Any = network.init(jax.random.key(0), images, train=False)
    return state_lib.create_state(variables, optimizer, ema=False)

  shardings = parallel.state_shardings(jax.eval_shape(create), mesh)
  state = jax.jit(create, out_shardings=shardings)()
  train_step = step_lib.make_train_step(
    apply=network.apply,
    optimizer=optimizer,
    schedule=optax.constant_schedule(RATE),
    prepare=lambda key, batch: (batch["image"], batch["label"]),
    loss=loss,
    root_key=jax.random.key(0),
    mesh=mesh,
  )
  found: dict[str, Any] = {}

  def placed(step):
    batch = batch_of(step)
    size = len(batch["label"]) // count
    own = {k: v[index * size : (index + 1) * size] for k, v in batch.items()}
    return parallel.shard_batch(own, mesh)

  for step in range(STEPS):
    state, metrics = train_step(state, placed(step))
    found[f"metrics{step}"] = jax.device_get(metrics)
    variables = state.variables(averaged=False)
    moments = state.opt_state[0].mu  # After a step: a tenth of the gradient.
    found[f"state{step}"] = parallel.whole_on_first(
      variables | {"moments": moments}, mesh
    )
  eval_step = evaluator.make_eval_step(
    apply=network.apply,
    inputs=lambda batch: batch["image"],
    sums=lambda outputs, batch: accuracy.batch_sums(
      outputs, batch["label"], batch["mask"], CLASSES
    ),
    mesh=mesh,
  )
  found["sums"] = jax.device_get(
    eval_step(state.variables(averaged=False), placed(STEPS))
  )
  if index:
    return {}
  flat: Any = traverse_util.flatten_dict(found, sep="/")
  return flat


def main(port: str, count: str, index: str, output: str) -> None:
  """Joins the others, computes, and writes."""
  jax.distributed.initialize(f"127.0.0.1:{port}", int(count), int(index))
  found: Any = compute(4, int(index), int(count))
  if found:
    np.savez(output, **found)


if __name__ == "__main__":
  main(*sys.argv[1:])
