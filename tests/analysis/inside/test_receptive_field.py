"""Receptive fields by gradient against the rules of their sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import errors
from van_jax.analysis import (
  attention_extent,
  composed_kernel,
  extent,
  receptive_field,
  stage_extent,
)
from van_jax.analysis.inside.kernels import compose


def noise(size, count=1):
  return np.random.default_rng(0).standard_normal((count, size, size, 3), "f")


def lka(kernel_size, dilation):
  return {"name": "lka", "kernel_size": kernel_size, "dilation": dilation}


def lska(kernel_size, dilation):
  return {**lka(kernel_size, dilation), "name": "lska"}


# Attention, and how far it sees: (2d - 1) + (ceil(K / d) - 1) d for LKA, floor
# for LSKA; 5 + 21 - 1 for MSCA.
EXTENTS = [
  (lka(7, 2), 9),
  (lka(21, 3), 23),
  (lka(35, 4), 39),
  (lka(53, 5), 59),
  (lska(23, 3), 23),
  ({"name": "msca"}, 25),
]


@pytest.mark.parametrize(("attention", "size"), EXTENTS)
def test_one_attention_sees_a_square_of_its_rules_size(
  attention, size, make_small
):
  model, variables = make_small(attention=attention)
  # 64 x 64 positions of stage 1, the centre of which is 32.
  field = receptive_field(model, variables, noise(256), block="stage1/block0")
  found = extent(field)
  assert field.shape == (64, 64)
  assert (found.height, found.width) == (size, size)
  first = 32 - (size - 1) // 2
  assert (found.top, found.left) == (first, first)
  assert np.count_nonzero(field) == size**2  # LSKA's too: no cross.
  assert attention_extent(attention) == size


@pytest.mark.parametrize("kernel_size", range(7, 54))
def test_the_rule_is_what_kernels_compose_to(kernel_size):
  for dilation in range(1, 7):
    near = np.ones((2 * dilation - 1, 1, 1))
    far = np.ones((-(-kernel_size // dilation), 1, 1))
    kernel = compose(near, far, dilation=dilation)
    assert kernel.all()  # No gaps.
    assert len(kernel) == attention_extent(lka(kernel_size, dilation))


def test_separable_kernels_see_a_column_times_a_row(make_small):
  """What LSKA's field has of a cross: one column times one row a channel."""
  ranks = {}
  for attention in (lka(21, 3), lska(23, 3)):
    model, variables = make_small(attention=attention)
    kernel = composed_kernel(model, variables, block="stage1/block0")
    assert kernel.shape == (23, 23, 4)
    ranks[attention["name"]] = np.linalg.matrix_rank(
      kernel.transpose(2, 0, 1), tol=1e-4 * np.abs(kernel).max()
    )
  assert (ranks["lska"] == 1).all()
  assert (ranks["lka"] > 5).all()


def test_values_are_the_lengths_of_the_kernels(make_small):
  """Without a gate, and channels apart, the Jacobian is the large kernel."""
  model, variables = make_small(attention={"name": "lska", "gate": "none"})
  unit = variables["params"]["block1_0"]["attn"]["spatial_gating_unit"]
  unit["conv1"] = {"kernel": jnp.eye(4)[None, None], "bias": jnp.zeros(4)}
  field = receptive_field(
    model, variables, noise(128, 2), block="stage1/block0"
  )
  kernel = composed_kernel(model, variables, block="stage1/block0")
  window = field[16 - 11 : 17 + 11, 16 - 11 : 17 + 11]
  expected = np.sqrt(np.sum(kernel.astype(np.float64) ** 2, -1))
  np.testing.assert_allclose(window, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
  ("depths", "stage", "size"),
  [
    # A block adds 8 of its attention and 2 of its 3x3; positions are 4 pixels
    # apart and seven see one: (10 n) * 4 + 7.
    ((1, 1, 1, 1), 1, 47),
    ((2, 1, 1, 1), 1, 87),
    # 11 positions of stage 2 are 23 of stage 1, with its block 33.
    ((1, 1, 1, 1), 2, 135),
  ],
)
def test_fields_grow_with_depth(depths, stage, size, make_small):
  model, variables = make_small(depths=depths, attention=lka(7, 2))
  field = receptive_field(model, variables, noise(160), stage=stage)
  found = extent(field)
  assert field.shape == (160, 160)
  assert (found.height, found.width) == (size, size)
  # Position 20 of stage 1, and 10 of stage 2, look at pixel 80.
  assert found.top == found.left == 80 - size // 2
  assert stage_extent(model, stage) == size


def test_the_plain_sum_of_normed_channels_has_no_gradient(make_small):
  model, variables = make_small(attention=lka(7, 2))
  images = jnp.asarray(noise(160))

  @jax.jit
  @jax.grad
  def of_sum(images):
    first = model.apply(variables, images, train=False, method="features")[0]
    return jnp.sum(first[:, 20, 20])

  field = receptive_field(model, variables, images, stage=1)
  # Rounding of float32, in six layers and a norm.
  assert np.abs(of_sum(images)).max() < 1e-5 * field.max()


def test_the_area_is_of_the_fewest_pixels_that_hold_the_part():
  field = np.zeros((6, 8))
  field[2, 3:7] = (1, 6, 2, 1)
  found = extent(field, fraction=0.8)
  assert found == (2, 2, 3, 6, 2, 0.8)
  assert (found.height, found.width) == (1, 4)
  assert extent(field, fraction=1.0).area == 4


def test_b0s_field_is_larger_than_any_image(make_small):
  model, _ = make_small(depths=(3, 3, 5, 2), attention="lka")
  assert stage_extent(model, 4) == 4383


def test_a_strangers_rule_is_not_known():
  with pytest.raises(errors.UserError, match=r"ChannelMixing.*measure"):
    attention_extent("stranger:ChannelMixing")


@pytest.mark.parametrize(
  ("options", "message"),
  [({"stage": 0}, "stage=0"), ({"draws": 0}, "draws=0")],
)
def test_bad_options_are_refused(options, message, make_small):
  model, variables = make_small()
  with pytest.raises(errors.UserError, match=message):
    receptive_field(model, variables, noise(32), **options)
