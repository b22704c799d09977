"""What the policies draw, against closed forms and timm's magnitudes."""

import math

import numpy as np
import pytest

from van_jax.data.augment import policies
from van_jax.data.images.pixels import Step

DRAWS = 10_000
COUNT = len(policies.RANDAUGMENT_STEPS)


def _uniforms(operations):
  """Returns what DRAWS images take, [DRAWS, operations, policies.DRAWS]."""
  shape = (DRAWS, operations, policies.DRAWS)
  return np.random.default_rng(0).random(shape, np.float32)


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
  """Returns the steps and arguments of the official policy, [DRAWS, 2]."""
  pairs = [policies.randaugment(u, 9.0, 0.5, 0.5) for u in _uniforms(2)]
  steps, arguments = zip(*pairs, strict=True)
  return np.stack(steps), np.stack(arguments)


def _five_deviations(probability, count):
  """Returns the bound of a frequency: 1 in 2 million leaves it by chance."""
  return 5 * math.sqrt(probability * (1 - probability) / count)


def test_half_of_the_operations_are_applied(drawn):
  applied = drawn[0] != Step.NOTHING
  assert abs(applied.mean() - 0.5) < _five_deviations(0.5, applied.size)
  both = applied.all(axis=1)  # Independent of each other.
  assert abs(both.mean() - 0.25) < _five_deviations(0.25, DRAWS)


def test_operations_are_drawn_evenly_with_replacement(drawn):
  steps = drawn[0]
  applied = steps[steps != Step.NOTHING]
  for step in policies.RANDAUGMENT_STEPS:
    frequency = (applied == step).mean()
    bound = _five_deviations(1 / COUNT, applied.size)
    assert abs(frequency - 1 / COUNT) < bound
  pairs = steps[(steps != Step.NOTHING).all(axis=1)]
  twice = (pairs[:, 0] == pairs[:, 1]).mean()
  assert abs(twice - 1 / COUNT) < _five_deviations(1 / COUNT, len(pairs))


def _normal_cdf(x):
  return 0.5 * (1 + math.erf(x / math.sqrt(2)))


@pytest.mark.parametrize(
  ("step", "scale"),
  [(Step.ROTATE, 30), (Step.SHEAR_X, 0.3), (Step.TRANSLATE_Y, 0.45)],
)
def test_magnitudes_are_normal_and_clipped(drawn, step, scale):
  steps, arguments = drawn
  levels = 10 * abs(arguments[steps == step]) / scale
  assert levels.max() == pytest.approx(10)  # 2.3 % of them, at 9 + 2 * 0.5.
  for level in (8, 8.5, 9, 9.5, 9.99):
    expected = _normal_cdf((level - 9) / 0.5)
    found = (levels <= level).mean()
    assert abs(found - expected) < _five_deviations(expected, len(levels))


@pytest.mark.parametrize("step", [Step.ROTATE, Step.SHEAR_Y, Step.TRANSLATE_X])
def test_signs_are_even(drawn, step):
  steps, arguments = drawn
  positive = arguments[steps == step] > 0
  assert abs(positive.mean() - 0.5) < _five_deviations(0.5, positive.size)


@pytest.mark.parametrize("step", [Step.COLOR, Step.SHARPNESS])
def test_enhancements_go_both_ways(drawn, step):
  steps, arguments = drawn
  factors = arguments[steps == step]
  assert abs((factors > 1).mean() - 0.5) < _five_deviations(0.5, len(factors))
  assert factors.min() == pytest.approx(0.1)  # 1 - 0.9, at magnitude 10.
  assert factors.max() == pytest.approx(1.9)


@pytest.mark.parametrize(
  ("step", "level", "expected"),
  [
    # timm 0.4.12: 4 - int(4 m / 10), 256 - int(256 m / 10), int(110 m / 10).
    (Step.POSTERIZE, 9.0, 1),
    (Step.POSTERIZE, 10.0, 0),
    (Step.POSTERIZE, 0.0, 4),
    (Step.SOLARIZE, 9.0, 26),
    (Step.SOLARIZE, 10.0, 0),
    (Step.SOLARIZE_ADD, 9.0, 99),
    (Step.ROTATE, 9.0, -27),
    (Step.COLOR, 9.0, 1 - 0.81),
    (Step.CONTRAST, 5.0, 1 - 0.45),
    (Step.SHEAR_X, 9.0, -0.27),
    (Step.TRANSLATE_X, 9.0, -0.405),
    (Step.INVERT, 9.0, 0),
  ],
)
def test_magnitude_means_what_timms_does(step, level, expected):
  assert policies.argument(step, level, -1.0) == pytest.approx(expected)


def test_magnitude_without_deviation_is_constant():
  pairs = [policies.randaugment(u, 9.0, 0.0, 1.0) for u in _uniforms(1)]
  turns = [abs(a[0]) for s, a in pairs if s[0] == Step.ROTATE]
  np.testing.assert_allclose(turns, 27)


def test_three_augment_draws_one_of_three_evenly():
  pairs = [policies.three_augment(u) for u in _uniforms(1)]
  steps = np.array([steps[0] for steps, _ in pairs])
  arguments = np.array([arguments[0] for _, arguments in pairs])
  for step in (Step.GRAYSCALE, Step.SOLARIZE, Step.GAUSSIAN_BLUR):
    bound = _five_deviations(1 / 3, DRAWS)
    assert abs((steps == step).mean() - 1 / 3) < bound
  blurs = arguments[steps == Step.GAUSSIAN_BLUR]
  assert 0.1 <= blurs.min() < 0.11
  assert 1.99 < blurs.max() <= 2
  assert set(arguments[steps == Step.SOLARIZE]) == {128}


def test_jitter_has_every_order_evenly():
  pairs = [policies.color_jitter(u, 0.4) for u in _uniforms(3)]
  orders = [tuple(steps) for steps, _ in pairs]
  assert len(set(orders)) == 6
  for order in set(orders):
    bound = _five_deviations(1 / 6, DRAWS)
    assert abs(orders.count(order) / DRAWS - 1 / 6) < bound


@pytest.mark.parametrize(
  ("strength", "low", "high"), [(0.4, 0.6, 1.4), (2, 0, 3)]
)
def test_jitter_factors_are_uniform(strength, low, high):
  pairs = [policies.color_jitter(u, strength) for u in _uniforms(3)]
  factors = np.stack([arguments for _, arguments in pairs])
  assert low <= factors.min()
  assert factors.max() <= high
  deviation = (high - low) / math.sqrt(12 * factors.size)
  assert abs(factors.mean() - (low + high) / 2) < 5 * deviation
