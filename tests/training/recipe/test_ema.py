"""Claims about the averaged weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax.training.recipe import ema


def test_update_ema_equals_the_recurrence_of_timm():
  values = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
  average = {"params": jnp.asarray(values[0])}
  expected = values[0].astype(np.float64)
  for value in values[1:]:
    average = ema.update_ema(average, {"params": jnp.asarray(value)}, 0.9)
    expected = 0.9 * expected + 0.1 * value
  # 19 steps, each rounded at 6e-8 of values around 1, and forgotten by 0.9.
  np.testing.assert_allclose(average["params"], expected, atol=1e-6)


def test_update_ema_approaches_a_constant_by_the_power_of_its_decay():
  average = jnp.zeros(())
  for _ in range(100):
    average = ema.update_ema(average, jnp.ones(()), 0.9998)
  # 1 - 0.9998 ** 100 = 0.0198; 100 roundings of 0.02 at 6e-8.
  np.testing.assert_allclose(average, 1 - 0.9998**100, rtol=1e-5)


def test_update_ema_leaves_what_does_not_change_exactly_as_it_is():
  value = jax.random.normal(jax.random.key(0), (1000,))
  assert jnp.array_equal(ema.update_ema(value, value, 0.9998), value)


def test_update_ema_stays_float32_beside_bfloat16():
  new = jnp.ones((), jnp.bfloat16)
  average = ema.update_ema(jnp.zeros(()), new, 0.9998)
  assert average.dtype == jnp.float32
  np.testing.assert_allclose(average, 2e-4, rtol=1e-6)


@pytest.mark.parametrize(
  ("step", "decay"), [(1, 2 / 11), (90, 0.91), (10**6, 0.999)]
)
def test_warmed_up_decay_rises_to_the_decay_asked_for(step, decay):
  np.testing.assert_allclose(ema.warmed_up_decay(0.999, step), decay, rtol=1e-6)


def test_update_ema_takes_a_traced_decay():
  @jax.jit
  def update(average, new, step):
    return ema.update_ema(average, new, ema.warmed_up_decay(0.9, step))

  # (1 + 8) / (10 + 8) = 0.5.
  assert float(update(jnp.float32(1), jnp.float32(3), 8)) == 2.0
