"""Peak memory of a training step, by the compiler's own analysis.

  python -m benchmarks.step_memory [--model=van_b2] [--batch_size=32]

Compiles the whole step (forward, backward, BatchNorm in training, AdamW) for
this machine's first device, once with XLA's depthwise convolution and once with
ours, and prints temporaries in MB and their ratio. Nothing is run.
"""

import argparse
import json
from typing import Any

import jax
import jax.numpy as jnp
import optax

import van_jax


def temporaries(name: str, batch_size: int, implementation: str) -> float:
  """Returns the MB that the compiled step takes beside its arguments."""
  model = van_jax.create_model(name, implementation=implementation)
  optimizer = optax.adamw(1e-3)
  images = jax.ShapeDtypeStruct((batch_size, 224, 224, 3), jnp.float32)
  labels = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
  small = jnp.zeros((1, 32, 32, 3))
  variables = jax.eval_shape(lambda: model.init(jax.random.key(0), small))
  moments = jax.eval_shape(optimizer.init, variables["params"])

  def step(variables, moments, images, labels):
    def loss(params):
      logits, updated = model.apply(
        {"params": params, "batch_stats": variables["batch_stats"]},
        images,
        train=True,
        mutable=["batch_stats"],
        rngs={"dropout": jax.random.key(0)},
      )
      losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
      return losses.mean(), updated

    gradients, updated = jax.grad(loss, has_aux=True)(variables["params"])
    updates, new = optimizer.update(gradients, moments, variables["params"])
    params = optax.apply_updates(variables["params"], updates)
    return {"params": params, **updated}, new

  compiled = (
    jax.jit(step, donate_argnums=(0, 1))
    .lower(variables, moments, images, labels)
    .compile()
  )
  analysis: Any = compiled.memory_analysis()
  return analysis.temp_size_in_bytes / 1e6


def main() -> None:
  """Prints one line of JSON."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--model", default="van_b2")
  parser.add_argument("--batch_size", type=int, default=32)
  options = parser.parse_args()
  sizes = {
    name: temporaries(options.model, options.batch_size, name)
    for name in ("xla", "auto")
  }
  ratio = sizes["auto"] / sizes["xla"]
  print(json.dumps({"model": options.model, **sizes, "ratio": ratio}))


if __name__ == "__main__":
  main()
