"""Claims about random erasing; distributions on 10^4 draws of one key."""

import functools
import math
import random
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from van_jax.training.recipe import erasing

OFFICIAL: dict[str, Any] = {
  "probability": 0.25,
  "mode": "pixel",
  "count": 1,
  "area": (0.02, 1 / 3),
  "min_aspect": 0.3,
}
ALWAYS: dict[str, Any] = {**OFFICIAL, "probability": 1.0}
DRAWS = 10_000
# The second is so flat that 27 % of the boxes do not fit.
SIZES = [(224, 224), (32, 96)]


@functools.cache  # Most of the time goes into compiling.
def draw_many(height, width, probability=1.0, count=1):
  """Returns the boxes of 10^4 images, [10^4, count, 4]."""
  draw = functools.partial(
    erasing.draw_boxes,
    height=height,
    width=width,
    probability=probability,
    count=count,
    area=(0.02, 1 / 3),
    min_aspect=0.3,
  )
  keys = jax.random.split(jax.random.key(0), DRAWS)
  return np.asarray(jax.jit(jax.vmap(draw))(keys))


@functools.cache
def expected_sizes(height, width):
  """Returns the heights, widths and probabilities of the boxes that fit.

  Integrated over 2000 x 2000 midpoints of (area, log aspect), of which those
  that do not fit are left out: rejection gives the conditional distribution.
  """
  middles = (np.arange(2000) + 0.5) / 2000
  area = (0.02 + (1 / 3 - 0.02) * middles[:, None]) * height * width
  aspect = np.exp(math.log(0.3) * (1 - 2 * middles[None, :]))
  heights = np.round(np.sqrt(area * aspect)).astype(int)
  widths = np.round(np.sqrt(area / aspect)).astype(int)
  fits = (heights < height) & (widths < width)
  sizes, counts = np.unique(
    np.stack([heights[fits], widths[fits]]), axis=1, return_counts=True
  )
  return *sizes, counts / counts.sum()


def timm_boxes(generator, height, width, max_count):
  """Returns the boxes of one image, as timm 0.4.12's RandomErasing._erase."""
  boxes = []
  count = generator.randint(1, max_count)
  for _ in range(count):
    for _ in range(10):
      area = generator.uniform(0.02, 1 / 3) * height * width / count
      aspect = math.exp(generator.uniform(math.log(0.3), math.log(1 / 0.3)))
      h = round(math.sqrt(area * aspect))
      w = round(math.sqrt(area / aspect))
      if w < width and h < height:
        top = generator.randint(0, height - h)
        boxes.append((top, generator.randint(0, width - w), h, w))
        break
  return boxes


def erase_many(options, size=(40, 48), images=64):
  """Erases a batch whose values are all 9, which noise never is."""
  erase = jax.jit(functools.partial(erasing.erase, **options))
  batch = jnp.full((images, *size, 3), 9.0)
  return np.asarray(erase(jax.random.key(1), batch))


def chi_square(drawn, values, probabilities):
  """Returns the p-value of drawn values, in 20 bins of equal chance."""
  order = np.argsort(values, kind="stable")
  edges = np.interp(
    np.arange(1, 20) / 20, np.cumsum(probabilities[order]), values[order]
  )
  edges = np.unique(edges)
  observed = np.bincount(np.searchsorted(edges, drawn), minlength=20)
  expected = np.bincount(
    np.searchsorted(edges, values), probabilities, minlength=20
  )
  filled = expected > 0
  assert observed[~filled].sum() == 0
  return scipy.stats.chisquare(
    observed[filled], expected[filled] * len(drawn)
  ).pvalue


def test_images_are_erased_as_often_as_asked():
  erased = draw_many(224, 224, probability=0.25)[:, 0, 2] > 0
  # Four sigma of a binomial; that ten boxes all fail has a chance of 1e-40.
  assert abs(erased.mean() - 0.25) <= 4 * math.sqrt(0.25 * 0.75 / DRAWS)


@pytest.mark.parametrize("size", SIZES)
def test_erased_area_is_uniform_but_for_boxes_that_do_not_fit(size):
  *_, heights, widths = draw_many(*size)[:, 0].T
  expected_h, expected_w, chance = expected_sizes(*size)
  areas = expected_h * expected_w
  assert chi_square(heights * widths, areas, chance) > 1e-3
  mean = np.sum(areas * chance)
  sigma = math.sqrt(np.sum((areas - mean) ** 2 * chance) / DRAWS)
  assert abs(np.mean(heights * widths) - mean) <= 4 * sigma


def test_boxes_that_do_not_fit_change_the_mean_area():
  # So the test above would see a box that was clipped and not drawn again.
  heights, widths, chance = expected_sizes(32, 96)
  share = np.sum(heights * widths * chance) / (32 * 96)
  assert share < 0.95 * (0.02 + 1 / 3) / 2


@pytest.mark.parametrize("size", SIZES)
def test_aspect_is_log_uniform_but_for_boxes_that_do_not_fit(size):
  *_, heights, widths = draw_many(*size)[:, 0].T
  expected_h, expected_w, chance = expected_sizes(*size)
  aspects = expected_h / expected_w
  assert chi_square(heights / widths, aspects, chance) > 1e-3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("axis", [0, 1])
def test_place_is_uniform_over_all_that_keep_the_box_inside(size, axis):
  boxes = draw_many(*size)[:, 0]
  places = size[axis] - boxes[:, 2 + axis] + 1
  assert (boxes[:, axis] >= 0).all()
  assert (boxes[:, axis] < places).all()
  # Spread within its pixel, a place is uniform in [0, 1).
  jitter = np.random.default_rng(0).random(DRAWS)
  spread = (boxes[:, axis] + jitter) / places
  assert scipy.stats.kstest(spread, "uniform").pvalue > 1e-3


def test_several_boxes_share_the_area_as_in_timm():
  generator = random.Random(0)
  expected = [timm_boxes(generator, 64, 64, 3) for _ in range(DRAWS)]
  boxes = draw_many(64, 64, count=3)
  numbers = (boxes[..., 2] > 0).sum(1)
  theirs = np.bincount([len(b) for b in expected], minlength=4)
  ours = np.bincount(numbers, minlength=4)
  # Four sigma of the difference of two binomials.
  assert np.abs(ours - theirs).max() <= 4 * math.sqrt(2 * DRAWS * 2 / 9)
  result: Any = scipy.stats.ks_2samp(
    np.prod(boxes[..., 2:], axis=-1).sum(1),
    [sum(h * w for *_, h, w in b) for b in expected],
  )
  assert result.pvalue > 1e-3


def test_boxes_that_never_fit_leave_the_image_alone():
  wide = {**ALWAYS, "area": (1.0, 1.0), "min_aspect": 1.0}
  assert (erase_many(wide) == 9).all()


def test_only_the_box_changes():
  erased = erase_many(ALWAYS)
  for inside in (erased != 9).any(-1):
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    assert inside.sum() == len(rows) * len(columns) > 0
    assert rows[-1] - rows[0] + 1 == len(rows)
    assert columns[-1] - columns[0] + 1 == len(columns)


def test_pixel_noise_is_normal_and_drawn_for_each_value():
  erased = erase_many(ALWAYS)
  noise = erased[erased != 9]
  assert scipy.stats.kstest(noise, "norm").pvalue > 1e-3
  assert len(np.unique(noise)) > 0.99 * len(noise)  # 24 bits: few coincide.


def test_rand_noise_is_one_colour_a_box():
  erased = erase_many({**ALWAYS, "mode": "rand"}, images=512)
  colours = [np.unique(i[i[..., 0] != 9], axis=0) for i in erased]
  assert all(len(colour) == 1 for colour in colours)
  values = np.concatenate(colours).ravel()
  assert scipy.stats.kstest(values, "norm").pvalue > 1e-3


def test_rand_boxes_of_an_image_have_colours_of_their_own():
  erased = erase_many({**ALWAYS, "mode": "rand", "count": 4})
  assert max(len(np.unique(i[i[..., 0] != 9], axis=0)) for i in erased) > 1


def test_const_fills_with_zeros():
  erased = erase_many({**ALWAYS, "mode": "const"})
  assert set(np.unique(erased)) == {0, 9}


def test_probability_zero_draws_nothing():
  images = jnp.ones((2, 8, 8, 3))
  jaxpr = jax.make_jaxpr(
    functools.partial(erasing.erase, **{**OFFICIAL, "probability": 0.0})
  )(jax.random.key(0), images)
  assert not jaxpr.eqns


def test_erase_is_a_function_of_its_key():
  erase = jax.jit(functools.partial(erasing.erase, **ALWAYS))
  images = jnp.zeros((4, 32, 32, 3))
  first, again, other = (erase(jax.random.key(s), images) for s in (0, 0, 1))
  assert jnp.array_equal(first, again)
  assert not jnp.array_equal(first, other)


def test_erase_keeps_the_dtype_of_the_images():
  images = jnp.zeros((2, 32, 32, 3), jnp.bfloat16)
  erased = erasing.erase(jax.random.key(0), images, **ALWAYS)
  assert erased.dtype == jnp.bfloat16


@pytest.fixture(scope="module")
def spread():
  """Returns images over eight devices, and the compiled erasing of them."""
  mesh = jax.make_mesh(
    (8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,)
  )
  sharding = jax.sharding.NamedSharding(mesh, jax.P("batch"))
  images = jax.device_put(np.zeros((16, 32, 32, 3), np.float32), sharding)
  erase = functools.partial(erasing.erase, **ALWAYS)
  return images, jax.jit(erase).lower(jax.random.key(0), images).compile()


def test_erase_on_eight_devices_equals_one(spread):
  images, compiled = spread
  one = jax.jit(functools.partial(erasing.erase, **ALWAYS))(
    jax.random.key(0), np.asarray(images)
  )
  # Same arithmetic a pixel, but the compiler may fuse multiply and add.
  np.testing.assert_allclose(
    compiled(jax.random.key(0), images), one, atol=1e-6
  )


def test_devices_erase_without_talking_to_each_other(spread):
  talk = r"all-reduce|all-gather|all-to-all|collective|reduce-scatter"
  assert not re.findall(talk, spread[1].as_text())


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("probability", 1.5),
    ("probability", -0.1),
    ("mode", "pixels"),
    ("count", 0),
    ("count", 1.5),
    ("area", (0.0, 0.3)),
    ("area", (0.4, 0.3)),
    ("area", (0.4, 1.3)),
    ("area", (0.4,)),
    ("min_aspect", 0.0),
    ("min_aspect", 2.0),
  ],
)
def test_a_value_out_of_range_is_an_error_with_its_name(field, value):
  message = re.escape(f"erasing.{field}={value!r}")
  with pytest.raises(ValueError, match=message):
    erasing.erase(
      jax.random.key(0), jnp.zeros((2, 8, 8, 3)), **{**OFFICIAL, field: value}
    )


def test_integer_images_are_an_error():
  images = jnp.zeros((2, 8, 8, 3), jnp.uint8)
  with pytest.raises(ValueError, match="floating point"):
    erasing.erase(jax.random.key(0), images, **OFFICIAL)
