"""Networks and images that a few steps can learn, and what is there by then.

All that is trained here is augmented in one way: its loops are compiled once.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

import van_jax

# Four epochs of 8 steps.
_HOW = {
  "evaluation": 0.2,
  "epochs": 4,
  "batch_size": 16,
  "learning_rate": 1e-2,
  "without": "all",
  "progress": False,
}


class Stranger(nn.Module):
  """A classifier that is no VAN: without BatchNorm, compiled at once."""

  classes: int = 4
  width: int = 8

  @nn.compact
  def __call__(self, images, *, train):
    """Returns logits of the four quarters' brightness."""
    del train
    half = images.shape[1] // 2
    quarters = images.reshape(-1, 2, half, 2, half, 3)
    x = jnp.mean(quarters, (2, 4, 5)).reshape(-1, 4)
    return nn.Dense(self.classes, name="head")(nn.Dense(self.width)(x))


@pytest.fixture(scope="session")
def how():
  """Returns what trainings of these tests are told."""
  return _HOW


@pytest.fixture(scope="session")
def stranger():
  """Returns a model that is trained in no time."""
  return Stranger()


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


@pytest.fixture(scope="session")
def fitted(small, quarters):
  """Returns what came of training the VAN."""
  names = ("top left", "top right", "bottom left", "bottom right")
  return van_jax.fit(small, quarters, class_names=names, **_HOW)
