"""What saves cost a run: its steps with saves every 50 against none.

  python -m benchmarks.resilience [--model=van_b2] [--steps=50] [--pairs=3]

One process trains on this machine's devices, on random images. Small ones: the
state is as large for any, and it ends in minutes. Blocks of steps follow each
other, by turns with a save and without: the save is begun before the first
step, its background is left to run beside the steps, and a block ends with its
last step. What is still to be written then is waited for, and told apart. Peak
shares are those of a short step: where one takes ten times as long, the same
save is a tenth of it.

Printed are seconds a step without saves and with, the seconds that the loop
stands still at a save, the bytes copied to the host, and those on disk.
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp
import optax

import van_jax
from van_jax.training import state as state_lib
from van_jax.training.run import checkpoint, kept


def make(name: str, image_size: int, batch_size: int) -> tuple[Any, Any, Any]:
  """Returns a state with averages, a compiled step, and a batch."""
  model = van_jax.create_model(name)
  optimizer = optax.adamw(1e-3)
  images = jax.random.normal(
    jax.random.key(1), (batch_size, image_size, image_size, 3)
  )
  labels = jnp.zeros(batch_size, jnp.int32)

  def step(state, images, labels):
    def loss(params):
      logits, updated = model.apply(
        {"params": params, "batch_stats": state.batch_stats},
        images,
        train=True,
        mutable=["batch_stats"],
        rngs={"dropout": jax.random.fold_in(jax.random.key(2), state.step)},
      )
      losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
      return losses.mean(), updated

    gradients, updated = jax.grad(loss, has_aux=True)(state.params)
    updates, moments = optimizer.update(
      gradients, state.opt_state, state.params
    )
    params = optax.apply_updates(state.params, updates)
    new = {"params": params, **updated}
    ema = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b, state.ema, new)
    return state.replace(step=state.step + 1, opt_state=moments, ema=ema, **new)

  def create():
    variables: Any = model.init(jax.random.key(0), images[:1], train=False)
    return state_lib.create_state(variables, optimizer, ema=True)

  compiled = jax.jit(step, donate_argnums=0)
  return jax.jit(create)(), compiled, (images, labels)


def main() -> None:
  """Prints one line of JSON."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--model", default="van_b2")
  parser.add_argument("--image_size", type=int, default=64)
  parser.add_argument("--batch_size", type=int, default=8)
  parser.add_argument("--steps", type=int, default=50)
  parser.add_argument("--pairs", type=int, default=3)
  options = parser.parse_args()
  state, step, batch = make(
    options.model, options.image_size, options.batch_size
  )
  copied = sum(x.nbytes for x in jax.tree.leaves(state))
  took: dict[str, list[float]] = {
    name: [] for name in ("none", "saves", "halt", "rest")
  }
  with (
    tempfile.TemporaryDirectory() as folder,
    contextlib.closing(
      checkpoint.Checkpointer(
        folder, keep_last=2, keep_best=0, best="top1", best_mode="max"
      )
    ) as checkpointer,
  ):

    def run(steps):
      nonlocal state
      for _ in range(steps):
        state = step(state, *batch)
      jax.block_until_ready(state)

    run(2)
    checkpointer.save(int(state.step), state)  # Compiles its checksum.
    checkpointer.wait()
    for _ in range(options.pairs):
      begin = time.perf_counter()
      run(options.steps)
      took["none"].append(time.perf_counter() - begin)
      begin = time.perf_counter()
      checkpointer.save(int(state.step), state)
      took["halt"].append(time.perf_counter() - begin)
      run(options.steps)
      took["saves"].append(time.perf_counter() - begin)
      begin = time.perf_counter()
      checkpointer.wait()
      took["rest"].append(time.perf_counter() - begin)
    last = pathlib.Path(folder) / str(kept.steps(folder)[-1])
    files = sum(f.stat().st_size for f in last.rglob("*") if f.is_file())
  median = {name: statistics.median(times) for name, times in took.items()}
  print(
    json.dumps(
      {
        "model": options.model,
        "image_size": options.image_size,
        "batch_size": options.batch_size,
        "steps_a_save": options.steps,
        "seconds_a_step_without": median["none"] / options.steps,
        "seconds_a_step_with": median["saves"] / options.steps,
        "ratio": median["saves"] / median["none"],
        "seconds_halted_a_save": median["halt"],
        "seconds_written_after_the_block": median["rest"],
        "bytes_copied_a_save": copied,
        "bytes_on_disk": files,
      }
    )
  )


if __name__ == "__main__":
  main()
