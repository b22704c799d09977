"""Random keys as a function of (seed, stream, step)."""

import zlib

import jax


def stream(root_key: jax.Array, name: str, step: jax.Array | int) -> jax.Array:
  """Returns the key of the stream `name` at `step`.

  Nothing is carried from step to step, so nothing random needs saving: a
  resumed run draws what the unbroken run would have drawn.

  Args:
    root_key: [], the typed key of the run, `jax.random.key(seed)`.
    name: of the use, such as "mixing"; each use has a stream of its own.
    step: [], an integer from 0 to 2**32 - 1; may be traced.
  """
  tag = zlib.crc32(name.encode())  # Stable across processes, unlike hash().
  return jax.random.fold_in(jax.random.fold_in(root_key, tag), step)
