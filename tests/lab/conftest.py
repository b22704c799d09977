"""A network and images that a few steps can learn."""

import numpy as np
import pytest

import van_jax


@pytest.fixture(scope="session")
def small():
  """Returns a VAN of four classes that compiles in seconds."""
  return van_jax.VAN(
    widths=(8, 8, 8, 8),
    depths=(1, 1, 1, 1),
    ffn_ratios=(2, 2, 2, 2),
    num_classes=4,
    implementation="xla",
  )


@pytest.fixture(scope="session")
def quarters():
  """Returns images and labels: which quarter of an image is the bright one."""
  numbers = np.random.default_rng(0)
  labels = np.arange(160) % 4
  images = numbers.integers(0, 120, (160, 32, 32, 3), dtype=np.uint8)
  for image, label in zip(images, labels, strict=True):
    row, column = 16 * (label // 2), 16 * (label % 2)
    image[row : row + 16, column : column + 16] += 120
  return images, labels
