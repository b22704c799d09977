"""Conflicts of shape and texture, and what models make of them."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import errors
from van_jax.analysis import cue_conflicts, measure_shape_bias, shape_bias
from van_jax.analysis.inside.cue_conflict import recombined


@pytest.fixture(scope="module")
def photographs():
  """Returns eight images, and their classes: two of each of four."""
  images = np.random.default_rng(0).standard_normal((8, 12, 15, 3), "f")
  return images, np.arange(8) % 4


def test_an_image_with_its_own_amplitudes_is_itself(photographs):
  image = photographs[0][0]
  np.testing.assert_allclose(recombined(image, image), image, atol=1e-6)


def test_phases_say_where_things_are(photographs):
  """A shifted image has the same amplitudes: only its phases are others."""
  image = photographs[0][0]
  shifted = np.roll(image, (3, 5), (0, 1))
  np.testing.assert_allclose(recombined(shifted, image), shifted, atol=1e-5)


def test_amplitudes_and_mean_are_the_textures():
  wave = np.arange(16) * 2 * np.pi / 16
  coarse = np.cos(wave)[:, None, None] + np.zeros((16, 16, 3))
  # A weaker texture: nothing is clipped to the range of the two.
  texture = 0.5 + 0.3 * np.cos(wave + 1)[:, None, None] + np.zeros((16, 16, 3))
  made = recombined(coarse, texture)
  np.testing.assert_allclose(
    made, np.broadcast_to(0.5 + 0.3 * coarse, made.shape), atol=1e-6
  )


def test_partners_are_of_other_classes_and_follow_the_seed(photographs):
  images, labels = photographs
  pairs = cue_conflicts(images, labels, seed=3, count=20)
  assert pairs.images.shape == (20, 12, 15, 3)
  assert (pairs.shape_labels != pairs.texture_labels).all()
  np.testing.assert_array_equal(pairs.shape_labels, labels[pairs.shape_from])
  counts = np.bincount(pairs.shape_from)
  assert set(counts) == {2, 3}  # 20 of 8: as often as any other.
  first = recombined(images[pairs.shape_from[0]], images[pairs.texture_from[0]])
  np.testing.assert_array_equal(pairs.images[0], first)
  again = cue_conflicts(images, labels, seed=3, count=20)
  np.testing.assert_array_equal(pairs.texture_from, again.texture_from)
  other = cue_conflicts(images, labels, seed=4, count=20)
  assert (pairs.texture_from != other.texture_from).any()


def test_bias_is_the_shapes_part_of_what_is_right_for_either():
  found = shape_bias([0, 1, 0, 2, 3], [0, 0, 0, 0, 3], [1, 1, 1, 1, 0])
  assert found == (0.75, 3, 1, 1)
  assert math.isnan(shape_bias([2], [0], [1]).bias)


class ByMean(nn.Module):
  """Tells bright images (class 1) from dark ones: by what textures give."""

  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, 3] to [B, 2]."""
    mean = jnp.mean(x, (1, 2, 3))
    return jnp.stack([-mean, mean], 1)


class ByPlace(nn.Module):
  """Tells which half is brighter: by what phases give."""

  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, 3] to [B, 2]."""
    middle = x.shape[2] // 2
    halves = [x[:, :, :middle], x[:, :, middle:]]
    return jnp.stack([jnp.max(half, (1, 2, 3)) for half in halves], 1)


@pytest.mark.parametrize(("model", "bias"), [(ByMean(), 0.0), (ByPlace(), 1.0)])
def test_models_that_go_by_one_cue_have_its_bias(model, bias):
  labels = np.arange(6) % 2
  images = np.zeros((6, 8, 8, 3), np.float32)
  for i, label in enumerate(labels):
    images[i, i, 4 * label + 1] = 1  # A point, left or right,
    images[i] += label - 0.5  # on a dark or a bright ground.
  found = measure_shape_bias(model, {}, images, labels, batch_size=4)
  assert found.bias == bias
  assert found.neither == 0


@pytest.mark.parametrize(
  ("labels", "message"), [(np.zeros(8, int), "one class"), ([0, 1], r"\(2,\)")]
)
def test_labels_without_a_conflict_are_refused(labels, message, photographs):
  with pytest.raises(errors.UserError, match=message):
    cue_conflicts(photographs[0], np.asarray(labels), seed=0)


def test_pairs_of_one_class_are_refused():
  with pytest.raises(errors.UserError, match="image 1 has shape and texture"):
    shape_bias([0, 0], [0, 1], [1, 1])
