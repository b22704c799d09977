"""Losses of pixels: torch's cross-entropy, and mmsegmentation's hard pixels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from van_jax.tasks import pixel_losses

WEIGHTS = (0.5, 1.0, 2.0, 0.0, 3.0)


def labels_of(shape, void):
  """Returns labels of five classes, a share of them 255."""
  numbers = np.random.default_rng(3)
  labels = numbers.integers(0, 5, shape)
  return np.where(numbers.random(shape) < void, 255, labels)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_loss_and_gradient_are_torchs_with_ignored_pixels(key, weights):
  logits = 4 * jax.random.normal(key, (2, 6, 7, 5))
  labels = labels_of((2, 6, 7), void=0.3)

  @jax.jit
  @jax.value_and_grad
  def ours(logits, labels):
    losses = pixel_losses.cross_entropy(logits, labels)
    return jnp.sum(pixel_losses.weighted(losses, labels, weights))

  x = torch.tensor(np.asarray(logits), requires_grad=True)
  theirs = torch.nn.functional.cross_entropy(
    x.movedim(3, 1),
    torch.tensor(labels),
    weight=None if weights is None else torch.tensor(weights),
    ignore_index=255,
    reduction="sum",
  )
  theirs.backward()
  loss, gradient = ours(logits, labels)
  # A sum of 84 float32 losses; each gradient is a probability or less by 3.
  np.testing.assert_allclose(loss, theirs.item(), rtol=2e-6)
  np.testing.assert_allclose(gradient, np.asarray(x.grad), atol=1e-6)


def by_sorting(logits, labels, weights, threshold, min_kept):
  """Returns what mmsegmentation's sampler keeps, as its sorting has it."""
  losses = torch.nn.functional.cross_entropy(
    torch.tensor(np.asarray(logits)).movedim(3, 1),
    torch.tensor(labels),
    weight=torch.tensor(weights),
    ignore_index=255,
    reduction="none",
  ).numpy()
  probability = np.asarray(jax.nn.softmax(logits))
  own = np.where(labels == 255, 0, labels)[..., None]
  probability = np.take_along_axis(probability, own, -1)[..., 0]
  valid = labels != 255
  kept = min_kept * len(labels)
  if threshold is None:
    order = np.sort(losses[valid])[::-1]
    return valid & (losses >= order[min(kept, len(order)) - 1])
  order = np.sort(probability[valid])
  limit = max(order[min(kept, len(order) - 1)], threshold)
  return valid & (probability < limit)


@pytest.mark.parametrize(
  ("threshold", "min_kept"), [(0.7, 1), (0.1, 20), (0.1, 99), (None, 20)]
)
def test_hard_pixels_are_those_of_sorting(key, threshold, min_kept):
  logits = 2 * jax.random.normal(key, (2, 6, 7, 5))
  labels = labels_of((2, 6, 7), void=0.3)
  weights = (0.5, 1.0, 2.0, 1.0, 3.0)

  @jax.jit
  def ours(logits, labels):
    losses = pixel_losses.cross_entropy(logits, labels)
    return pixel_losses.hard_pixels(
      losses,
      pixel_losses.weighted(losses, labels, weights),
      labels,
      threshold=threshold,
      min_kept=min_kept,
    )

  expected = by_sorting(logits, labels, weights, threshold, min_kept)
  np.testing.assert_array_equal(ours(logits, labels), expected)
  assert 0 < expected.sum() < 84


def test_equal_losses_at_the_limit_share_what_is_left():
  losses = np.array([[[3.0, 1.0, 1.0, 1.0, 0.5]]], np.float32)
  hard = functools.partial(pixel_losses.hard_pixels, threshold=None, min_kept=2)
  factors = jax.jit(hard)(losses, losses, np.zeros((1, 1, 5), np.int32))
  third = np.float32(1 / 3)
  np.testing.assert_array_equal(factors, [[[1, third, third, third, 0]]])


def test_a_label_that_is_no_class_makes_the_loss_nan_hard_or_not():
  labels = np.array([[[0, 5, 255]]])

  @jax.jit
  def both(labels):
    losses = pixel_losses.cross_entropy(jnp.zeros((1, 1, 3, 5)), labels)
    hard = pixel_losses.hard_pixels(
      losses, losses, labels, threshold=0.7, min_kept=1
    )
    return losses, hard

  losses, hard = both(labels)
  np.testing.assert_allclose(losses, [[[np.log(5), np.nan, 0]]], rtol=1e-6)
  assert hard[0, 0, 1] == 1
