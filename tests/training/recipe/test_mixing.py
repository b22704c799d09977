"""Claims about mixup and CutMix."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from van_jax.training.recipe import mixing

OFFICIAL: dict[str, Any] = {
  "num_classes": 8,
  "mixup_alpha": 0.8,
  "cutmix_alpha": 1.0,
  "switch_probability": 0.5,
  "probability": 1.0,
  "label_smoothing": 0.1,
}
MIXUP: dict[str, Any] = {**OFFICIAL, "cutmix_alpha": 0.0}
CUTMIX: dict[str, Any] = {**OFFICIAL, "mixup_alpha": 0.0}

# [8, 12, 20, 3]: the index of the image plus that of the pixel / 1024.
IMAGES = np.broadcast_to(
  np.arange(8).reshape(8, 1, 1, 1) + np.arange(240).reshape(12, 20, 1) / 1024,
  (8, 12, 20, 3),
).astype(np.float32)
MIX_IN_JIT = jax.jit(functools.partial(mixing.mix, **OFFICIAL))


def mix_many(options, count=200):
  """Mixes one batch under `count` keys: IMAGES, image i of class i.

  Returns:
    Images [count, 8, 12, 20, 3] and targets [count, 8, 8].
  """
  return compute_mixes(tuple(options.items()), count)


@functools.cache  # Most of the time goes into compiling.
def compute_mixes(options, count):
  keys = jax.random.split(jax.random.key(1), count)
  mix = functools.partial(mixing.mix, **dict(options))
  mixed, targets = jax.jit(jax.vmap(mix, in_axes=(0, None, None)))(
    keys, jnp.asarray(IMAGES), jnp.arange(8)
  )
  return np.asarray(mixed), np.asarray(targets)


def draw_many(options, *, count):
  """Returns `count` draws of weights [count, 12, 20] and shares [count]."""
  keys = jax.random.split(jax.random.key(2), count)
  options = {
    name: value
    for name, value in options.items()
    if name not in ("num_classes", "label_smoothing")
  }
  draw = functools.partial(mixing.draw_weights, height=12, width=20, **options)
  weights, share = jax.jit(jax.vmap(draw))(keys)
  return np.asarray(weights), np.asarray(share)


def timm_box(height, width, share, centre_y, centre_x):
  """Returns timm 0.4.12's rand_bbox for a given centre, as a mask."""
  ratio = np.sqrt(1 - share)
  cut_h, cut_w = int(height * ratio), int(width * ratio)
  top = np.clip(centre_y - cut_h // 2, 0, height)
  bottom = np.clip(centre_y + cut_h // 2, 0, height)
  left = np.clip(centre_x - cut_w // 2, 0, width)
  right = np.clip(centre_x + cut_w // 2, 0, width)
  inside = np.zeros((height, width), bool)
  inside[top:bottom, left:right] = True
  return inside


@pytest.mark.parametrize("options", [OFFICIAL, MIXUP, CUTMIX])
def test_targets_sum_to_one(options):
  _, targets = mix_many(options)
  np.testing.assert_allclose(targets.sum(-1), 1, atol=1e-6)
  assert targets.min() >= 0


def test_cutmix_targets_are_the_pasted_area_pixel_by_pixel():
  mixed, targets = mix_many({**CUTMIX, "label_smoothing": 0.0})
  is_own = (mixed == IMAGES).mean((2, 3, 4))  # [200, 8]
  is_partner = (mixed == IMAGES[::-1]).mean((2, 3, 4))
  # Each pixel is the own or the partner's of the same place, unblended.
  assert (is_own + is_partner == 1).all()
  i = np.arange(8)
  # Quotients of integers under 241, rounded to float32.
  assert np.abs(targets[:, i, i] - is_own).max() < 1e-7
  assert np.abs(targets[:, i, 7 - i] - is_partner).max() < 1e-7


def test_cutmix_pastes_one_box_for_the_whole_batch():
  mixed, _ = mix_many(CUTMIX)
  own = mixed == IMAGES
  assert (own == own[:, :1, :, :, :1]).all()
  assert 0 < own.mean() < 1


def test_mixup_targets_are_the_weights_of_the_pixels():
  mixed, targets = mix_many({**MIXUP, "label_smoothing": 0.0})
  # Sums of 8 products of numbers below 8, in float32.
  expected = np.einsum("nij,jhwc->nihwc", targets, IMAGES)
  np.testing.assert_allclose(mixed, expected, atol=4e-6)


def test_labels_are_smoothed_before_they_are_mixed():
  _, targets = mix_many(CUTMIX)
  _, plain = mix_many({**CUTMIX, "label_smoothing": 0.0})
  # timm's mixup_target: 0.1 / 8 everywhere, the rest of the mass mixed.
  np.testing.assert_allclose(targets, 0.1 / 8 + 0.9 * plain, atol=2e-7)


@pytest.mark.parametrize("alpha", [0.2, 0.8])
def test_mixup_share_is_beta(alpha):
  _, share = draw_many({**MIXUP, "mixup_alpha": alpha}, count=10_000)
  # Kolmogorov-Smirnov; one key, so the test draws the same each time.
  assert scipy.stats.kstest(share, "beta", (alpha, alpha)).pvalue > 1e-3


def test_cutmix_share_is_distributed_as_in_timm():
  _, share = draw_many(CUTMIX, count=10_000)
  generator = np.random.default_rng(0)
  expected = [
    1
    - timm_box(
      12,
      20,
      generator.beta(1.0, 1.0),
      generator.integers(12),
      generator.integers(20),
    ).mean()
    for _ in range(10_000)
  ]
  # Rounded, since both are quotients by 240 in different precision.
  result: Any = scipy.stats.ks_2samp(
    np.round(share * 240), np.round(240 * np.array(expected))
  )
  assert result.pvalue > 1e-3


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_box_is_one_of_timms_each_as_often(share):
  height, width, count = 5, 7, 7000
  keys = jax.random.split(jax.random.key(3), count)
  draw = jax.vmap(lambda k: mixing.draw_box(k, height, width, share))
  boxes, areas = map(np.asarray, jax.jit(draw)(keys))
  expected = {}
  for y, x in np.ndindex(height, width):
    box = timm_box(height, width, share, y, x).tobytes()
    expected[box] = expected.get(box, 0) + count / (height * width)
  drawn = {}
  for box in boxes:
    drawn[box.tobytes()] = drawn.get(box.tobytes(), 0) + 1
  assert set(drawn) == set(expected)
  if len(expected) > 1:
    observed = [drawn[box] for box in expected]
    assert scipy.stats.chisquare(observed, [*expected.values()]).pvalue > 1e-3
  assert (areas == boxes.sum((1, 2))).all()


@pytest.mark.parametrize("probability", [0.2])
def test_cutmix_is_chosen_as_often_as_asked(probability):
  weights, _ = draw_many(
    {**OFFICIAL, "switch_probability": probability}, count=2000
  )
  is_cutmix = np.isin(weights, (0, 1)).all((1, 2))
  # Four sigma of a binomial.
  bound = 4 * np.sqrt(probability * (1 - probability) / 2000)
  assert abs(is_cutmix.mean() - probability) <= bound


@pytest.mark.parametrize("probability", [0.3])
def test_a_batch_is_mixed_as_often_as_asked(probability):
  _, share = draw_many({**MIXUP, "probability": probability}, count=2000)
  bound = 4 * np.sqrt(probability * (1 - probability) / 2000)
  assert abs(np.mean(share != 1) - probability) <= bound


def test_whether_to_mix_and_how_are_drawn_apart():
  options = {**OFFICIAL, "probability": 0.5, "cutmix_alpha": 1e3}
  weights, share = draw_many(options, count=2000)
  mixed = share != 1  # Alpha 1e3: boxes of half the image, never empty.
  is_cutmix = np.isin(weights[mixed], (0, 1)).all((1, 2))
  # Four sigma of a binomial of some 1000.
  assert abs(is_cutmix.mean() - 0.5) <= 4 * np.sqrt(0.25 / mixed.sum())


@pytest.mark.parametrize(
  "off",
  [{"mixup_alpha": 0.0, "cutmix_alpha": 0.0}, {"probability": 0.0}],
)
def test_mixing_that_is_off_smooths_only(off):
  mixed, targets = mix_many({**OFFICIAL, **off})
  assert (mixed == IMAGES).all()
  expected = np.float32(0.1 / 8) + np.eye(8) * 0.9
  np.testing.assert_allclose(targets, [expected] * 200, atol=1e-7)


def test_mix_is_a_function_of_its_key():
  first, again, other = (
    MIX_IN_JIT(jax.random.key(seed), IMAGES, np.arange(8)) for seed in (0, 0, 1)
  )
  assert jnp.array_equal(first[0], again[0])
  assert jnp.array_equal(first[1], again[1])
  assert not jnp.array_equal(first[1], other[1])


def test_mix_keeps_the_dtype_of_the_images():
  images = jnp.ones((2, 32, 32, 3), jnp.bfloat16)
  mixed, targets = mixing.mix(
    jax.random.key(0), images, jnp.arange(2), **OFFICIAL
  )
  assert mixed.dtype == jnp.bfloat16
  assert targets.dtype == jnp.float32


def test_mix_on_eight_devices_equals_one():
  mesh = jax.make_mesh(
    (8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,)
  )
  spread = jax.sharding.NamedSharding(mesh, jax.P("batch"))
  one = MIX_IN_JIT(jax.random.key(0), IMAGES, np.arange(8))
  batch = jax.device_put((IMAGES, np.arange(8)), spread)
  eight = MIX_IN_JIT(jax.random.key(0), *batch)
  # Same arithmetic a pixel, but the compiler may fuse multiply and add.
  np.testing.assert_allclose(eight[0], one[0], atol=1e-6)
  np.testing.assert_allclose(eight[1], one[1], atol=1e-6)


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("mixup_alpha", -0.1),
    ("cutmix_alpha", -1.0),
    ("switch_probability", 1.5),
    ("probability", -0.5),
    ("label_smoothing", 1.0),
  ],
)
def test_a_value_out_of_range_is_an_error_with_its_name(field, value):
  with pytest.raises(ValueError, match=f"{field}={value}"):
    mix_many({**OFFICIAL, field: value}, count=1)


def test_integer_images_are_an_error():
  with pytest.raises(ValueError, match="floating point"):
    mixing.mix(
      jax.random.key(0),
      jnp.zeros((2, 8, 8, 3), jnp.uint8),
      jnp.arange(2),
      **OFFICIAL,
    )
