"""The shapes of a model's variables, before there are any."""

from typing import Any

import jax
import jax.numpy as jnp

from van_jax.models import segmenter, van


def variable_shapes(model: van.VAN | segmenter.Segmenter) -> dict[str, Any]:
  """Returns {"params", "batch_stats"} of `jax.ShapeDtypeStruct`s.

  Nothing is computed: it takes a second where `init` takes a minute.
  """
  plain = model.clone(implementation="xla")  # Traced soonest.
  images = jax.ShapeDtypeStruct(
    (1, van.MIN_IMAGE_SIZE, van.MIN_IMAGE_SIZE, 3), jnp.float32
  )
  return jax.eval_shape(plain.init, jax.random.key(0), images)
