"""What the policies draw, against closed forms and timm's magnitudes."""

import math

import numpy as np
import plain
import pytest

from van_jax.data.augment import operations, options, policies, program

DRAWS = 10_000
COUNT = len(policies.RANDAUGMENT)


def _uniforms(operations):
  """Returns what DRAWS images take, [DRAWS, operations, policies.DRAWS]."""
  shape = (DRAWS, operations, policies.DRAWS)
  return np.random.default_rng(0).random(shape, np.float32)


def _randaugment(**changed):
  """Returns the official policy's draw, with some options changed."""
  return policies.randaugment(options.Augmentation(**changed)).draw


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
  """Returns the names ("" for nothing) and arguments, [DRAWS, 2]."""
  draw = _randaugment()
  numbers, arguments = zip(*[draw(u) for u in _uniforms(2)], strict=True)
  names = np.array([*policies.RANDAUGMENT, ""])
  assert program.NOTHING == -1  # The last of them.
  return names[np.stack(numbers)], np.stack(arguments)


def _five_deviations(probability, count):
  """Returns the bound of a frequency: 1 in 2 million leaves it by chance."""
  return 5 * math.sqrt(probability * (1 - probability) / count)


def test_half_of_the_operations_are_applied(drawn):
  applied = drawn[0] != ""
  assert abs(applied.mean() - 0.5) < _five_deviations(0.5, applied.size)
  both = applied.all(axis=1)  # Independent of each other.
  assert abs(both.mean() - 0.25) < _five_deviations(0.25, DRAWS)


def test_operations_are_drawn_evenly_with_replacement(drawn):
  steps = drawn[0]
  applied = steps[steps != ""]
  for step in policies.RANDAUGMENT:
    frequency = (applied == step).mean()
    bound = _five_deviations(1 / COUNT, applied.size)
    assert abs(frequency - 1 / COUNT) < bound
  pairs = steps[(steps != "").all(axis=1)]
  twice = (pairs[:, 0] == pairs[:, 1]).mean()
  assert abs(twice - 1 / COUNT) < _five_deviations(1 / COUNT, len(pairs))


def _normal_cdf(x):
  return 0.5 * (1 + math.erf(x / math.sqrt(2)))


@pytest.mark.parametrize(
  ("step", "scale"),
  [("rotate", 30), ("shear_x", 0.3), ("translate_y", 0.45)],
)
def test_magnitudes_are_normal_and_clipped(drawn, step, scale):
  steps, arguments = drawn
  levels = 10 * abs(arguments[steps == step]) / scale
  assert levels.max() == pytest.approx(10)  # 2.3 % of them, at 9 + 2 * 0.5.
  for level in (8, 8.5, 9, 9.5, 9.99):
    expected = _normal_cdf((level - 9) / 0.5)
    found = (levels <= level).mean()
    assert abs(found - expected) < _five_deviations(expected, len(levels))


@pytest.mark.parametrize("step", ["rotate", "shear_y", "translate_x"])
def test_signs_are_even(drawn, step):
  steps, arguments = drawn
  positive = arguments[steps == step] > 0
  assert abs(positive.mean() - 0.5) < _five_deviations(0.5, positive.size)


@pytest.mark.parametrize("step", ["color", "sharpness"])
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
    ("posterize", 9.0, 1),
    ("posterize", 10.0, 0),
    ("posterize", 0.0, 4),
    ("solarize", 9.0, 26),
    ("solarize", 10.0, 0),
    ("solarize_add", 9.0, 99),
    ("rotate", 9.0, -27),
    ("color", 9.0, 1 - 0.81),
    ("contrast", 5.0, 1 - 0.45),
    ("shear_x", 9.0, -0.27),
    ("translate_x", 9.0, -0.405),
    ("invert", 9.0, 0),
  ],
)
def test_magnitude_means_what_timms_does(step, level, expected):
  draw = _randaugment(
    operations=(step,),
    randaugment_magnitude=level,
    randaugment_std=0.0,
    randaugment_probability=1.0,
  )
  draws = np.array([[0.5, 0.5, 0.5, 0.5, 0.9, 0.5]])  # A sign of -1.
  _, (argument,) = draw(draws)
  assert argument == pytest.approx(expected)


def test_magnitude_without_deviation_is_constant():
  draw = _randaugment(randaugment_std=0.0, randaugment_probability=1.0)
  rotate = policies.RANDAUGMENT.index("rotate")
  pairs = [draw(u) for u in _uniforms(1)]
  turns = [abs(a[0]) for number, a in pairs if number[0] == rotate]
  np.testing.assert_allclose(turns, 27)


def test_randaugment_draws_among_the_operations_it_is_given():
  chosen = ("equalize", "shear_x", "gaussian_blur")
  policy = policies.randaugment(options.Augmentation(operations=chosen))
  assert policy.operations == operations.choose(chosen)
  numbers = np.stack([policy.draw(u)[0] for u in _uniforms(2)])
  applied = numbers[numbers != program.NOTHING]
  for number in range(3):
    bound = _five_deviations(1 / 3, applied.size)
    assert abs((applied == number).mean() - 1 / 3) < bound


def test_a_policy_is_a_row():
  """The options say which there are without compiling any."""
  assert tuple(policies.POLICIES) == options.POLICIES


def test_three_augment_draws_one_of_three_evenly():
  policy = policies.three_augment(plain.augmentation())
  pairs = [policy.draw(u) for u in _uniforms(1)]
  names = np.array(["grayscale", "solarize", "gaussian_blur"])
  assert policy.operations == operations.choose(list(names))
  steps = names[[numbers[0] for numbers, _ in pairs]]
  arguments = np.array([arguments[0] for _, arguments in pairs])
  for step in names:
    bound = _five_deviations(1 / 3, DRAWS)
    assert abs((steps == step).mean() - 1 / 3) < bound
  blurs = arguments[steps == "gaussian_blur"]
  assert 0.1 <= blurs.min() < 0.11
  assert 1.99 < blurs.max() <= 2
  assert set(arguments[steps == "solarize"]) == {128}


def _jittered(strength):
  draw = policies.color_jitter(plain.augmentation(color_jitter=strength)).draw
  return [draw(u) for u in _uniforms(3)]


def test_jitter_has_every_order_evenly():
  orders = [tuple(numbers) for numbers, _ in _jittered(0.4)]
  assert len(set(orders)) == 6
  for order in set(orders):
    bound = _five_deviations(1 / 6, DRAWS)
    assert abs(orders.count(order) / DRAWS - 1 / 6) < bound


@pytest.mark.parametrize(
  ("strength", "low", "high"), [(0.4, 0.6, 1.4), (2, 0, 3)]
)
def test_jitter_factors_are_uniform(strength, low, high):
  factors = np.stack([factors for _, factors in _jittered(strength)])
  assert low <= factors.min()
  assert factors.max() <= high
  deviation = (high - low) / math.sqrt(12 * factors.size)
  assert abs(factors.mean() - (low + high) / 2) < 5 * deviation
