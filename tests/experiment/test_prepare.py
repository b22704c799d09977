"""What the network sees of a training batch."""

from typing import Any

import jax
import numpy as np
import pytest

from van_jax.data.images import normalization
from van_jax.experiment import recipe_task
from van_jax.training.recipe import mixing

IMAGES: Any = np.random.default_rng(0).integers(
  0, 256, (16, 32, 32, 3), dtype=np.uint8
)
LABELS: Any = np.arange(16, dtype=np.int32) % 10


@pytest.fixture
def prepared(tiny_config):
  """Returns a function that prepares a batch with a config's keys changed."""

  def prepared(**changes):
    config = tiny_config(**{"mixing.cutmix_alpha": 1.0, **changes})
    batch = {"image": IMAGES, "label": LABELS}
    return recipe_task.create_task(config).prepare(jax.random.key(0), batch)

  return prepared


def mixed(config):
  """Returns what mixing with the key itself and normalising give."""
  images, targets = mixing.mix(
    jax.random.key(0), IMAGES, LABELS, num_classes=10, **config.mixing
  )
  preprocessing = config.preprocessing
  return normalization.normalize(
    images, mean=preprocessing.mean, std=preprocessing.std
  ), targets


def test_without_erasing_it_is_mixing_with_the_key_itself(
  prepared, tiny_config
):
  images, targets = prepared()
  expected = mixed(tiny_config(**{"mixing.cutmix_alpha": 1.0}))
  np.testing.assert_array_equal(images, expected[0])
  np.testing.assert_array_equal(targets, expected[1])


def test_erasing_changes_no_draw_of_mixing(prepared):
  images, targets = prepared()
  erased, erased_targets = prepared(**{"erasing.probability": 0.5})
  np.testing.assert_array_equal(erased_targets, targets)
  changed = np.any(np.asarray(erased != images), axis=-1)  # [16, 32, 32]
  assert 0 < changed.any((1, 2)).sum() < 16
  assert changed.mean((1, 2)).max() < 0.5  # Boxes are of a third at most.


def test_boxes_are_erased_after_mixing(prepared):
  # Zeros of `const` stay zeros; a partner blended in later would show.
  changes = {"erasing.probability": 1.0, "erasing.mode": "const"}
  images = np.asarray(prepared(**changes)[0])
  assert ((images == 0).all(-1).mean((1, 2)) > 0.01).all()
