"""Claims about the loss and label smoothing, against PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from van_jax.training.recipe import losses, smoothing

# float32 sums of 7 terms of size 10: some 1e-6 relative.
RTOL = 5e-6


@pytest.fixture
def batch():
  """Returns logits [16, 7], soft targets [16, 7] and labels [16]."""
  generator = np.random.default_rng(0)
  logits = generator.normal(size=(16, 7), scale=5).astype(np.float32)
  targets = generator.dirichlet(np.ones(7), size=16).astype(np.float32)
  return logits, targets, generator.integers(0, 7, size=16)


def test_soft_cross_entropy_equals_torch(batch):
  logits, targets, _ = batch
  expected = torch.nn.functional.cross_entropy(
    torch.from_numpy(logits), torch.from_numpy(targets)
  )
  loss = losses.soft_cross_entropy(jnp.asarray(logits), jnp.asarray(targets))
  np.testing.assert_allclose(loss, expected.numpy(), rtol=RTOL)


def test_soft_cross_entropy_gradient_is_softmax_minus_targets(batch):
  logits, targets, _ = map(jnp.asarray, batch)
  gradient = jax.grad(losses.soft_cross_entropy)(logits, targets)
  expected = (jax.nn.softmax(logits) - targets) / len(logits)
  np.testing.assert_allclose(gradient, expected, atol=1e-7)


def test_soft_cross_entropy_of_huge_logits_is_finite():
  logits = jnp.array([[1e4, -1e4]])
  loss = losses.soft_cross_entropy(logits, jnp.array([[0.0, 1.0]]))
  assert float(loss) == 2e4


def test_soft_cross_entropy_works_in_float32_on_bfloat16_logits(batch):
  logits, targets, _ = map(jnp.asarray, batch)
  rough = logits.astype(jnp.bfloat16)
  loss = losses.soft_cross_entropy(rough, targets)
  expected = losses.soft_cross_entropy(rough.astype(jnp.float32), targets)
  assert loss.dtype == jnp.float32
  assert float(loss) == float(expected)


def test_soft_cross_entropy_refuses_integer_labels(batch):
  logits, _, labels = map(jnp.asarray, batch)
  with pytest.raises(ValueError, match="smooth_one_hot"):
    losses.soft_cross_entropy(logits, labels)


def test_smooth_one_hot_shares_its_mass_over_all_classes():
  rows = smoothing.smooth_one_hot(jnp.array([2, 0]), 4, 0.1)
  # timm: off 0.1 / 4, on 1 - 0.1 + 0.1 / 4.
  expected = [[0.025, 0.025, 0.925, 0.025], [0.925, 0.025, 0.025, 0.025]]
  np.testing.assert_array_equal(rows, np.array(expected, np.float32))


def test_smoothed_loss_equals_torch_label_smoothing(batch):
  logits, _, labels = batch
  expected = torch.nn.functional.cross_entropy(
    torch.from_numpy(logits), torch.from_numpy(labels), label_smoothing=0.1
  )
  targets = smoothing.smooth_one_hot(jnp.asarray(labels), 7, 0.1)
  loss = losses.soft_cross_entropy(jnp.asarray(logits), targets)
  np.testing.assert_allclose(loss, expected.numpy(), rtol=RTOL)


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_smooth_one_hot_refuses_what_is_no_smoothing(value):
  with pytest.raises(ValueError, match="label_smoothing"):
    smoothing.smooth_one_hot(jnp.array([0]), 2, value)


def timm_binary(logits, targets, *, target_threshold=None, sum_classes=False):
  """Returns timm's BinaryCrossEntropy of dense targets, by PyTorch."""
  x, y = torch.from_numpy(logits), torch.from_numpy(targets)
  if target_threshold is not None:
    y = y.gt(target_threshold).to(y.dtype)
  reduction = "none" if sum_classes else "mean"
  loss = torch.nn.BCEWithLogitsLoss(reduction=reduction)(x, y)
  return (loss.sum(-1).mean() if sum_classes else loss).numpy()


@pytest.mark.parametrize(
  "options",
  [
    {},
    {"sum_classes": True},
    {"target_threshold": 0.2},
    {"target_threshold": 0.0, "sum_classes": True},
  ],
)
def test_binary_cross_entropy_equals_timm(batch, options):
  logits, targets, _ = batch
  targets[:, 3] = 0.0  # DeiT III's threshold leaves these out.
  loss = losses.create_loss(name="binary_cross_entropy", options=options)
  got = loss(jnp.asarray(logits), jnp.asarray(targets))
  expected = timm_binary(logits, targets, **options)
  np.testing.assert_allclose(got, expected, rtol=RTOL)


def test_binary_cross_entropy_gradient_is_sigmoid_minus_targets(batch):
  logits, targets, _ = map(jnp.asarray, batch)
  logits = logits.at[:, 0].set(0.0)  # Where a formula with |x| would be off.
  gradient = jax.grad(losses.binary_cross_entropy)(logits, targets)
  expected = (jax.nn.sigmoid(logits) - targets) / logits.size
  np.testing.assert_allclose(gradient, expected, atol=1e-8)  # Of up to 1e-2.


def test_binary_cross_entropy_of_huge_logits_is_finite():
  logits = jnp.array([[1e4, -1e4]])
  loss = losses.binary_cross_entropy(logits, jnp.array([[0.0, 1.0]]))
  assert float(loss) == 1e4


def test_mixed_classes_are_wholly_there_above_a_threshold_of_zero():
  logits = jnp.array([[2.0, -1.0, 0.5]])
  mixed, whole = jnp.array([[0.3, 0.7, 0.0]]), jnp.array([[1.0, 1.0, 0.0]])
  loss = losses.binary_cross_entropy(logits, mixed, target_threshold=0.0)
  assert loss == losses.binary_cross_entropy(logits, whole)


def test_an_unknown_loss_is_an_error_with_the_nearest():
  with pytest.raises(ValueError, match=r"'cross_entropi' .* cross_entropy, "):
    losses.create_loss(name="cross_entropi")


def test_an_option_of_another_loss_is_an_error():
  with pytest.raises(ValueError, match=r"options\.sum_classes .*are none"):
    losses.create_loss(options={"sum_classes": True})


@pytest.mark.parametrize("threshold", [-0.1, 1.0])
def test_a_threshold_that_separates_nothing_is_an_error(batch, threshold):
  logits, targets, _ = map(jnp.asarray, batch)
  with pytest.raises(ValueError, match=f"target_threshold={threshold} must"):
    losses.binary_cross_entropy(logits, targets, target_threshold=threshold)
