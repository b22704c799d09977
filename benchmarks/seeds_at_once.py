"""Several seeds of one small network: one after another, and under vmap.

  python -m benchmarks.seeds_at_once [--seeds=3] [--implementation=auto]
    [--widths=32,64,160,256] [--depths=1,1,1,1] [--image_size=32]
    [--batch_size=64] [--turns=5]

Both ways do the training step of `fit` for each seed, on batches that are
there; the ways take turns. Prints a line of JSON: milliseconds of a turn of
each (the median), on the clock and of all cores' time, which a busy machine
disturbs less; their ratios, the seconds that compiling took, and by how much
parameters differ after one step.
"""

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from van_jax import models, parallel
from van_jax.training import first_state, step as step_lib
from van_jax.training.recipe import losses, smoothing

_CLASSES = 10


def created(options: argparse.Namespace) -> tuple[Any, Any]:
  """Returns `step(key, state, batch)`, and the state of a seed."""
  model = models.create_model(
    "van_b0",
    num_classes=_CLASSES,
    widths=tuple(map(int, options.widths.split(","))),
    depths=tuple(map(int, options.depths.split(","))),
    implementation=options.implementation,
  )
  optimizer = optax.adamw(1e-3)
  mesh = parallel.create_mesh(jax.devices()[:1])

  def step(key, state, batch):
    own = step_lib.make_train_step(
      apply=model.apply,
      optimizer=optimizer,
      schedule=optax.constant_schedule(1e-3),
      prepare=lambda key, batch: (
        batch["image"],
        smoothing.smooth_one_hot(batch["label"], _CLASSES, 0.1),
      ),
      loss=lambda outputs, targets: (
        losses.soft_cross_entropy(outputs, targets),
        {},
      ),
      root_key=key,
      mesh=mesh,
    )
    return own(state, batch)[0]

  def state(seed):
    create = first_state.creator(
      model,
      optimizer,
      image_size=options.image_size,
      seed=seed,
      averages=False,
    )
    return first_state.place(create, None, mesh)

  return step, state


def main() -> None:
  """Measures, and prints what was found."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--seeds", type=int, default=3)
  parser.add_argument("--implementation", default="auto")
  parser.add_argument("--widths", default="32,64,160,256")
  parser.add_argument("--depths", default="1,1,1,1")
  parser.add_argument("--image_size", type=int, default=32)
  parser.add_argument("--batch_size", type=int, default=64)
  parser.add_argument("--turns", type=int, default=5)
  options = parser.parse_args()
  step, first = created(options)
  keys = jax.random.split(jax.random.key(0), options.seeds)
  states = [first(seed) for seed in range(options.seeds)]
  numbers = np.random.default_rng(0)
  side = options.image_size
  shape = (options.seeds, options.batch_size, side, side, 3)
  batches = {
    "image": jnp.asarray(numbers.normal(size=shape), jnp.float32),
    "label": jnp.asarray(numbers.integers(0, _CLASSES, shape[:2]), jnp.int32),
  }
  one = [jax.tree.map(lambda x, i=i: x[i], batches) for i in range(len(states))]
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

  alone, alone_seconds = _compiled(step, keys[0], states[0], one[0])
  together, seconds = _compiled(jax.vmap(step), keys, stacked, batches)

  def in_turn():
    return [alone(*each) for each in zip(keys, states, one, strict=True)]

  def at_once():
    return together(keys, stacked, batches)

  differ = _difference(in_turn(), at_once())
  found = {"in_turn": _Times(), "at_once": _Times()}
  for _ in range(options.turns):
    found["in_turn"].add(in_turn)
    found["at_once"].add(at_once)
  wall, cores = (
    {name: getattr(times, kind) for name, times in found.items()}
    for kind in ("wall_ms", "cores_ms")
  )
  print(
    json.dumps(
      {
        **vars(options),
        "platform": jax.default_backend(),
        "wall_ms": wall,
        "cores_ms": cores,
        "in_turn_over_at_once": [
          round(each["in_turn"] / each["at_once"], 2) for each in (wall, cores)
        ],
        "compile_seconds": [round(alone_seconds, 1), round(seconds, 1)],
        "largest_difference": differ,
      }
    )
  )


class _Times:
  """Medians of what turns took, in milliseconds."""

  def __init__(self):
    self._found: list[tuple[float, float]] = []

  def add(self, run: Callable[[], Any]) -> None:
    """Does a turn."""
    wall, cores = time.monotonic(), time.process_time()
    jax.block_until_ready(run())
    took = (time.monotonic() - wall, time.process_time() - cores)
    self._found.append(took)

  @property
  def wall_ms(self) -> float:
    """On the clock."""
    return round(1e3 * statistics.median(wall for wall, _ in self._found), 1)

  @property
  def cores_ms(self) -> float:
    """Of all cores."""
    return round(1e3 * statistics.median(c for _, c in self._found), 1)


def _compiled(function: Any, *arguments: Any) -> tuple[Any, float]:
  start = time.monotonic()
  program = jax.jit(function).lower(*arguments).compile()
  return program, time.monotonic() - start


def _difference(states: list[Any], stacked: Any) -> float:
  """Returns the largest between parameters of either way."""
  largest = functools.partial(max, default=0.0)
  return largest(
    float(jnp.max(jnp.abs(leaf - all_leaves[i])))
    for i, state in enumerate(states)
    for leaf, all_leaves in zip(
      jax.tree.leaves(state.params),
      jax.tree.leaves(stacked.params),
      strict=True,
    )
  )


if __name__ == "__main__":
  main()
