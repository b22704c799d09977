"""A small tree of parameters, named as a VAN's."""

import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture(scope="session")
def params():
  """Returns small arrays under names of a VAN of depths 2, 1."""
  names = [
    "patch_embed1/proj",
    "block1_0/attn/proj_1",
    "block1_1/attn/proj_1",
    "norm1",
    "patch_embed2/proj",
    "block2_0/attn/proj_1",
    "norm2",
    "head",
  ]
  generator = np.random.default_rng(0)
  tree = {}
  for name in names:
    branch = tree
    for part in name.split("/"):
      branch = branch.setdefault(part, {})
    # Small, so that rounding of the sums does not hide the updates.
    branch["bias"] = jnp.asarray(generator.normal(0, 0.02, 4), jnp.float32)
    if not name.startswith("norm"):
      kernel = generator.normal(0, 0.02, (3, 4))
      branch["kernel"] = jnp.asarray(kernel, jnp.float32)
  return tree
