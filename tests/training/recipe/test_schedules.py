"""Claims about the learning rate."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax.training.recipe import schedules as schedule

OFFICIAL: dict[str, Any] = {
  "name": "official",
  "learning_rate": 1e-3,
  "warmup_learning_rate": 1e-6,
  "end_learning_rate": 1e-6,
  "warmup_epochs": 5,
  "epochs": 300,
  "cooldown_epochs": 10,
  "steps_per_epoch": 1251,  # floor(1,281,167 / 1024).
}
COSINE: dict[str, Any] = {
  **OFFICIAL,
  "name": "cosine",
  "epochs": 10,
  "warmup_epochs": 2,
  "cooldown_epochs": 1,
  "steps_per_epoch": 50,
}


def test_official_rate_of_every_epoch_is_the_closed_form():
  rate = jax.vmap(schedule.create_schedule(**OFFICIAL))
  epochs = np.arange(310)
  warmup = 1e-6 + epochs * (1e-3 - 1e-6) / 5
  cosine = 1e-6 + (1e-3 - 1e-6) * np.cos(np.pi * epochs / 600) ** 2
  expected = np.where(epochs < 5, warmup, np.where(epochs < 300, cosine, 1e-6))
  for step in (0, 625, 1250):  # First, middle and last of an epoch.
    got = rate(jnp.asarray(epochs * 1251 + step, jnp.int32))
    # One rounding to float32: 6e-8.
    np.testing.assert_allclose(got, expected, rtol=6.1e-8)


@pytest.mark.parametrize(
  ("epoch", "rate"),
  [
    (0, 1e-6),
    (1, 2.008e-4),
    (4, 8.002e-4),
    (5, 9.993154e-4),  # 1e-6 + 0.5 * 9.99e-4 * (1 + cos(5 pi / 300)).
    (150, 5.005e-4),
    (299, 1.0273874e-6),
    (300, 1e-6),
    (309, 1e-6),
  ],
)
def test_official_rate_at_landmarks(epoch, rate):
  got = schedule.create_schedule(**OFFICIAL)(epoch * 1251)
  np.testing.assert_allclose(got, rate, rtol=1e-6)


def test_official_rate_stays_at_its_end_after_the_run():
  assert float(schedule.create_schedule(**OFFICIAL)(10**9)) == np.float32(1e-6)


def test_total_steps_counts_the_cooldown():
  steps = schedule.total_steps(
    epochs=300, cooldown_epochs=10, steps_per_epoch=1251
  )
  assert steps == 387_810


def test_total_steps_takes_parts_of_epochs():
  steps = schedule.total_steps(
    epochs=1.5, cooldown_epochs=0, steps_per_epoch=10
  )
  assert steps == 15


def test_cosine_rate_of_every_step_is_the_closed_form():
  rate = schedule.create_schedule(**COSINE)
  for step in range(550):
    if step < 100:
      expected = 1e-6 + (1e-3 - 1e-6) * step / 100
    else:
      angle = math.pi * min((step - 100) / 400, 1)
      expected = 1e-6 + (1e-3 - 1e-6) * (1 + math.cos(angle)) / 2
    # Sums of terms of 1e-3 in float32: 6e-8 * 1e-3, twice.
    assert abs(float(rate(step)) - expected) < 1.5e-10, step


def test_cosine_without_warmup_starts_at_the_peak():
  rate = schedule.create_schedule(**{**COSINE, "warmup_epochs": 0})
  assert float(rate(0)) == np.float32(1e-3)


def test_cosine_takes_a_fraction_of_an_epoch_of_warmup():
  rate = schedule.create_schedule(**{**COSINE, "warmup_epochs": 0.5})
  assert float(rate(24)) < float(rate(25)) == np.float32(1e-3)


def test_constant_keeps_the_peak_after_its_warmup():
  rate = schedule.create_schedule(**{**COSINE, "name": "constant"})
  assert float(rate(99)) < np.float32(1e-3)
  assert float(rate(100)) == float(rate(549)) == np.float32(1e-3)


@pytest.mark.parametrize(("power", "middle"), [(1.0, 0.5), (2.0, 0.25)])
def test_polynomial_falls_from_the_peak_to_the_end(power, middle):
  rate = schedule.create_schedule(
    **{**COSINE, "name": "polynomial", "options": {"power": power}}
  )
  peak, end = COSINE["learning_rate"], COSINE["end_learning_rate"]
  first = COSINE["warmup_epochs"] * COSINE["steps_per_epoch"]
  last = COSINE["epochs"] * COSINE["steps_per_epoch"]
  half = end + (peak - end) * middle
  half_way = (first + last) // 2
  for step, expected in {first: peak, half_way: half, last: end}.items():
    # float32 of steps and of rates: 1e-7 each, of the peak.
    np.testing.assert_allclose(rate(step), expected, rtol=0, atol=1e-6 * peak)


@pytest.mark.parametrize("warmup_epochs", [0, 5])
def test_polynomial_with_a_falling_warmup_is_mmcvs(warmup_epochs):
  fields = {**COSINE, "warmup_epochs": warmup_epochs, "end_learning_rate": 0.0}
  fields |= {"name": "polynomial"}
  fields |= {"options": {"power": 0.9, "falling_warmup": True}}
  rate = schedule.create_schedule(**fields)
  peak, steps_per_epoch = fields["learning_rate"], fields["steps_per_epoch"]
  warmup, total = (
    fields[name] * steps_per_epoch for name in ("warmup_epochs", "epochs")
  )
  for step in (0, 1, warmup // 2, warmup, warmup + 1, total - 1, total):
    regular = peak * (1 - step / total) ** 0.9
    if step < warmup:  # mmcv's LrUpdaterHook.get_warmup_lr, "linear".
      ratio = fields["warmup_learning_rate"] / peak
      regular *= 1 - (1 - step / warmup) * (1 - ratio)
    # float32 of steps and of rates: 1e-7 each, of the peak.
    np.testing.assert_allclose(rate(step), regular, rtol=0, atol=1e-6 * peak)


def test_an_option_that_the_named_one_has_not_is_an_error():
  with pytest.raises(ValueError, match=r"schedule\.options\.power .*are none"):
    schedule.create_schedule(**{**COSINE, "options": {"power": 2.0}})


def test_a_power_that_does_not_fall_is_an_error():
  with pytest.raises(ValueError, match=r"options\.power=0 "):
    schedule.create_schedule(
      **{**COSINE, "name": "polynomial", "options": {"power": 0}}
    )


@pytest.mark.parametrize("name", sorted(schedule.SCHEDULES))
def test_rate_is_float32_under_jit(name):
  rate = jax.jit(schedule.create_schedule(**{**COSINE, "name": name}))
  assert rate(jnp.int32(3)).dtype == jnp.float32
  assert rate(jnp.int32(3)).shape == ()


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("name", "linear"),
    ("learning_rate", 0.0),
    ("learning_rate", -1e-3),
    ("learning_rate", math.nan),
    ("warmup_learning_rate", -1e-6),
    ("warmup_learning_rate", 1e-2),
    ("end_learning_rate", 1e-2),
    ("warmup_epochs", 301),
    ("warmup_epochs", -1),
    ("warmup_epochs", 2.5),
    ("epochs", 0),
    ("epochs", 300.5),
    ("cooldown_epochs", -1),
    ("steps_per_epoch", 0),
  ],
)
def test_a_value_out_of_range_is_an_error_with_its_name(field, value):
  with pytest.raises(ValueError, match=f"{field}={value!r}"):
    schedule.create_schedule(**{**OFFICIAL, field: value})
