"""Claims about mixup and CutMix."""

import functools
import re
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

# [8, 12, 20, 3]: 30 times the index of the image plus that of the pixel, modulo
# 29: no two images have the same byte at a place.
IMAGES = np.broadcast_to(
  np.arange(8).reshape(8, 1, 1, 1) * 30
  + np.arange(240).reshape(12, 20, 1) % 29,
  (8, 12, 20, 3),
).astype(np.uint8)
MIX_IN_JIT = jax.jit(functools.partial(mixing.mix, **OFFICIAL))
# Two groups of four.
GROUPED: dict[str, Any] = {**OFFICIAL, "group_size": 4}


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
    if name not in ("num_classes", "label_smoothing", "group_size")
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
  # Targets are multiples of 2^-16, so that the sums are exact in float32.
  expected = np.einsum("nij,jhwc->nihwc", targets, IMAGES.astype(np.float32))
  np.testing.assert_array_equal(mixed, np.rint(expected))


def test_labels_are_smoothed_before_they_are_mixed():
  _, targets = mix_many(CUTMIX)
  _, plain = mix_many({**CUTMIX, "label_smoothing": 0.0})
  # timm's mixup_target: 0.1 / 8 everywhere, the rest of the mass mixed.
  np.testing.assert_allclose(targets, 0.1 / 8 + 0.9 * plain, atol=2e-7)


@pytest.mark.parametrize("alpha", [0.2, 0.8])
def test_mixup_share_is_beta(alpha):
  _, share = draw_many({**MIXUP, "mixup_alpha": alpha}, count=10_000)
  expected = np.random.default_rng(0).beta(alpha, alpha, 10_000)
  # Kolmogorov-Smirnov; one key, so the test draws the same each time.
  result: Any = scipy.stats.ks_2samp(share * 65536, np.round(expected * 65536))
  assert result.pvalue > 1e-3


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


def fast_collate(images, share, box):
  """Returns what timm 0.4.12's collate makes of a process's images.

  Args:
    images: uint8 [B, H, W, 3].
    share: lambda, before it is corrected to the box.
    box: (top, bottom, left, right) of CutMix; None for mixup.
  """
  made = []
  for i, own in enumerate(images):
    other = images[len(images) - i - 1]
    if box is None:
      blend = own.astype(np.float32) * share
      blend += other.astype(np.float32) * (1 - share)
      made.append(np.rint(blend).astype(np.uint8))
    else:
      pasted = own.copy()
      inside = slice(*box[:2]), slice(*box[2:])
      pasted[inside] = other[inside]
      made.append(pasted)
  return np.stack(made)


def box_of(weights):
  """Returns (top, bottom, left, right) of the zeros of [H, W]; None if none."""
  rows, columns = (np.flatnonzero((weights == 0).any(axis)) for axis in (1, 0))
  if not len(rows):
    return None
  return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


@pytest.mark.parametrize("options", [MIXUP, CUTMIX])
def test_bytes_are_those_of_the_official_collate_given_its_draws(options):
  """All 65,536 pairs of bytes; in bits, whatever the compiler fuses."""
  own, other = np.meshgrid(np.arange(256), np.arange(256))
  images: Any = np.stack([own, other]).astype(np.uint8)
  images = np.stack([images] * 3, -1)  # [2, 256, 256, 3]

  @jax.jit
  def run(key):
    one = {k: options[k] for k in list(OFFICIAL)[1:5]}
    weights, share = mixing.draw_weights(key, 256, 256, **one)
    mixed, _ = mixing.mix(key, images, jnp.arange(2), **options)
    return weights, share, mixed

  with jax.debug_key_reuse(False):  # The same draws, on purpose.
    for seed in range(5):
      weights, share, mixed = map(np.asarray, run(jax.random.key(seed)))
      box = box_of(weights) if options is CUTMIX else None
      expected = fast_collate(images, float(share), box)
      np.testing.assert_array_equal(mixed, expected)


def test_a_group_is_mixed_as_a_batch_of_its_own():
  keys = jax.random.split(jax.random.key(0), 2)
  labels = np.arange(8)
  grouped = jax.jit(functools.partial(mixing.mix, **GROUPED))
  mixed, targets = grouped(jax.random.key(0), IMAGES, labels)
  for own, key in zip((slice(4), slice(4, 8)), keys, strict=True):
    alone = MIX_IN_JIT(key, IMAGES[own], labels[own])
    np.testing.assert_array_equal(mixed[own], alone[0])
    # The compiler may fuse multiply and add.
    np.testing.assert_allclose(targets[own], alone[1], atol=1e-6)


def test_groups_draw_apart_and_partners_stay_in_them():
  mixed, targets = mix_many({**GROUPED, "label_smoothing": 0.0})
  i = np.arange(8)
  own, partner = targets[:, i, i], targets[:, i, [3, 2, 1, 0, 7, 6, 5, 4]]
  np.testing.assert_allclose(own + partner, 1, atol=1e-6)  # One rounding.
  first, second = own[:, :4], own[:, 4:]
  assert (first == first[:, :1]).all()
  assert (second == second[:, :1]).all()
  # One chance in many that two lambdas are equal: of empty boxes.
  assert np.mean(first[:, 0] != second[:, 0]) > 0.9
  is_blend = [
    (m != IMAGES) & (m != IMAGES[[3, 2, 1, 0, 7, 6, 5, 4]]) for m in mixed
  ]
  by_group = np.array([[b[:4].any(), b[4:].any()] for b in is_blend])
  # Both choices differ between groups as often as not; four sigma of 200.
  assert abs(np.mean(by_group[:, 0] != by_group[:, 1]) - 0.5) <= 4 * 0.5 / 14


@pytest.mark.parametrize(("group_size", "groups"), [(128, 8), (None, 1)])
def test_the_mean_lambda_of_an_update_spreads_as_in_the_official_run(
  group_size, groups
):
  """Of 1,024 images, with eight draws or one: 0.110 or 0.310 of mixup.

  With CutMix's uniform lambda as often, before boxes are clipped, 0.106 and
  0.30.
  """
  options = {**MIXUP, "num_classes": 2, "label_smoothing": 0.0}
  images = jnp.zeros((1024, 1, 1, 3), jnp.uint8)
  labels = jnp.arange(1024) % 2  # A partner has the other one.
  mix = functools.partial(mixing.mix, **options, group_size=group_size)

  @jax.jit
  def mean_lambdas(keys):
    def one(key):
      _, targets = mix(key, images, labels)
      return jnp.mean(jnp.take_along_axis(targets, labels[:, None], 1))

    return jax.lax.map(one, keys)

  means = mean_lambdas(jax.random.split(jax.random.key(0), 1000))
  # Beta(a, a) has the variance 1 / (4 (2a + 1)); a mean of n draws, an n-th.
  expected = (1 / (4 * (2 * 0.8 + 1)) / groups) ** 0.5
  assert round(expected, 3) == {8: 0.110, 1: 0.310}[groups]
  # One sigma of a standard deviation is 1 / sqrt(2 * 1000) of it, and less for
  # lambdas, which have no tails.
  np.testing.assert_allclose(np.std(means), expected, rtol=4 * 0.0224)


def spread_over(count):
  mesh = jax.make_mesh(
    (count,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,)
  )
  return jax.sharding.NamedSharding(mesh, jax.P("batch"))


@pytest.mark.parametrize("group_size", [None, 4, 2])
def test_mix_on_eight_devices_equals_one(group_size):
  images, labels = np.tile(IMAGES, (2, 1, 1, 1)), np.arange(16) % 8
  mix = jax.jit(
    functools.partial(mixing.mix, **OFFICIAL, group_size=group_size)
  )
  one = mix(jax.random.key(0), images, labels)
  batch = jax.device_put((images, labels), spread_over(8))
  eight = mix(jax.random.key(0), *batch)
  np.testing.assert_array_equal(eight[0], one[0])
  # Same arithmetic a target, but the compiler may fuse multiply and add.
  np.testing.assert_allclose(eight[1], one[1], atol=1e-6)


def exchanged(group_size):
  """Returns types and shapes of what eight devices send, 16 images, in HLO."""
  mix = functools.partial(mixing.mix, **OFFICIAL, group_size=group_size)
  spread = spread_over(8)
  program = jax.jit(mix, in_shardings=(None, spread, spread)).lower(
    jax.random.key(0),
    jax.ShapeDtypeStruct((16, 12, 20, 3), jnp.uint8),
    jax.ShapeDtypeStruct((16,), jnp.int32),
  )
  sending = r"= (\w+)(\[[\d,]*\])\S* (?:all-|collective-|reduce-|send)"
  return re.findall(sending, program.compile().as_text() or "")


def test_images_of_groups_that_lie_whole_on_a_device_stay_there():
  # Loops that reject draws agree on whether to go on: a bit.
  assert set(exchanged(2)) <= {("pred", "[]")}


def test_partners_on_other_devices_travel_as_bytes():
  for group_size in (4, None):
    sent = {kind for kind, shape in exchanged(group_size) if shape != "[]"}
    assert sent == {"u8", "s32"}  # Images and labels.


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("mixup_alpha", -0.1),
    ("cutmix_alpha", -1.0),
    ("switch_probability", 1.5),
    ("probability", -0.5),
    ("label_smoothing", 1.0),
    ("group_size", 3),
    ("group_size", 0),
  ],
)
def test_a_value_out_of_range_is_an_error_with_its_name(field, value):
  with pytest.raises(ValueError, match=f"{field}={value}"):
    mix_many({**OFFICIAL, field: value}, count=1)


def test_a_batch_smaller_than_a_group_is_one():
  mix = jax.jit(functools.partial(mixing.mix, **OFFICIAL, group_size=128))
  small = mix(jax.random.key(0), IMAGES, np.arange(8))
  whole = MIX_IN_JIT(jax.random.key(0), IMAGES, np.arange(8))
  np.testing.assert_array_equal(small[0], whole[0])


def test_images_that_are_normalised_already_are_an_error():
  with pytest.raises(ValueError, match=r"float32 and must be uint8"):
    mixing.mix(
      jax.random.key(0), jnp.zeros((2, 8, 8, 3)), jnp.arange(2), **OFFICIAL
    )
