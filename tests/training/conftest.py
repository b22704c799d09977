"""A small network and batches to train it on."""

import jax
import numpy as np
import pytest

from van_jax import models, parallel


@pytest.fixture(scope="session")
def narrow_van():
  """Returns a function that creates a VAN small enough for many tests."""

  def create(**overrides):
    fields = {
      "widths": (8, 8, 16, 16),
      "depths": (1, 1, 1, 1),
      "ffn_ratios": (2, 2, 2, 2),
      "num_classes": 5,
      "implementation": "xla",  # Compiles in a tenth of the time.
    }
    return models.create_model("van_b0", **(fields | overrides))

  return create


@pytest.fixture(scope="session")
def batch():
  """Returns a batch of 16 random images, uint8, and their labels."""
  numbers = np.random.default_rng(0)
  batch = {
    "image": numbers.integers(0, 256, (16, 32, 32, 3), dtype=np.uint8),
    "label": numbers.integers(0, 5, 16, dtype=np.int32),
  }
  for values in batch.values():
    values.setflags(write=False)  # All tests have the same.
  return batch


@pytest.fixture(params=[1, 8])
def mesh(request):
  """Returns a mesh of one, then of eight devices."""
  return parallel.create_mesh(jax.devices()[: request.param])
