"""Attention maps against closed forms, in a network made by hand."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import errors, models
from van_jax.analysis import attention_maps, upsample
from van_jax.models import layers

# By layer, the one tap of its kernel: all see so many positions below.
TAPS = {
  "lka": ({"conv0": (2, 2), "conv_spatial": (4, 3)}, 3),
  "lska": (
    {
      "conv0h": (0, 2),
      "conv0v": (2, 0),
      "conv_spatial_h": (0, 3),
      "conv_spatial_v": (4, 0),
    },
    3,
  ),
  "msca": ({"conv0": (4, 2)}, 2),
}


class Said(nn.Module):
  """A stranger's attention, which says what its map is."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, C] to [B, H, W, C]."""
    self.sow("intermediates", "attention_map", -x[..., 0])
    return x


def gelu(x):
  return x * (1 + math.erf(x / math.sqrt(2))) / 2


def with_signal(row, column, value=1.0, size=64):
  """Returns an image [1, size, size, 3], red at one pixel, and else grey."""
  image = np.zeros((1, size, size, 3), np.float32)
  image[0, row, column, 0] = value
  return image


@pytest.mark.parametrize("attention", TAPS)
def test_maps_light_where_the_kernel_sees_the_signal(attention, make_hand_made):
  taps, below = TAPS[attention]
  model, variables = make_hand_made(attention, taps)
  image = with_signal(32, 16, 1.5)
  maps = attention_maps(model, variables, image, normalised=False)
  assert {k: v.shape[1] for k, v in maps.items()} == {
    "stage1/block0": 16,
    "stage2/block0": 8,
    "stage3/block0": 4,
    "stage4/block0": 2,
  }
  expected = np.zeros((16, 16))
  expected[8 - below, 4] = gelu(1.5) / 3  # Of three channels one is red.
  # Float32's rounding of an erf.
  np.testing.assert_allclose(maps["stage1/block0"][0], expected, atol=1e-6)
  # After stage 1 the signal is normed over channels: mean 0, variance 1.
  normed = [math.sqrt(2), -math.sqrt(0.5), -math.sqrt(0.5)]
  expected = np.zeros((8, 8))
  expected[4 - below, 2] = np.mean([abs(gelu(x)) for x in normed])
  # LayerNorm's epsilon of 1e-6 beside a variance of 0.5.
  np.testing.assert_allclose(maps["stage2/block0"][0], expected, atol=1e-5)


def test_maps_go_from_0_to_1_in_each_image_of_each_block(make_hand_made):
  model, variables = make_hand_made("lka", TAPS["lka"][0])
  for image, place in (
    (with_signal(32, 16, 3), (5, 4)),
    (with_signal(40, 24, -0.5), (7, 6)),
  ):
    (one,) = attention_maps(model, variables, image)["stage1/block0"]
    assert one[place] == one.max() == 1
    assert one.sum() == 1  # Zero elsewhere.


def test_flat_maps_are_zero(make_hand_made):
  model, variables = make_hand_made("lka")
  maps = attention_maps(model, variables, with_signal(32, 16))
  assert all(not one.any() for one in maps.values())


def test_one_block_is_the_same_as_among_all_even_recomputed(make_hand_made):
  model, variables = make_hand_made("lka", TAPS["lka"][0])
  image = with_signal(32, 16)
  again = model.clone(remat=True)
  one = attention_maps(again, variables, image, block="stage2/block0")
  maps = attention_maps(model, variables, image)
  assert list(one) == ["stage2/block0"]
  np.testing.assert_allclose(
    one["stage2/block0"], maps["stage2/block0"], atol=1e-6
  )


def test_the_map_of_a_sigmoid_gate_is_the_sigmoid():
  attention = models.LargeKernelAttention(
    gate="sigmoid",
    convs=("pointwise",),
    pointwise=functools.partial(layers.Pointwise, implementation="xla"),
  )
  kernel = {"kernel": jnp.full((1, 1, 1, 1), 2.0), "bias": jnp.zeros(1)}
  y, state = attention.apply(
    {"params": {"conv1": kernel}},
    jnp.full((1, 1, 1, 1), 3.0),
    mutable=["intermediates"],
  )
  sown = np.asarray(state["intermediates"]["attention_map"][0])
  np.testing.assert_allclose(sown, 1 / (1 + math.exp(-6)), rtol=1e-6)
  np.testing.assert_allclose(y, 3 / (1 + math.exp(-6)), rtol=1e-6)


def test_strangers_say_what_their_map_is(make_hand_made):
  model, variables = make_hand_made(Said)
  maps = attention_maps(
    model, variables, with_signal(32, 16), normalised=False
  )["stage1/block0"]
  assert maps.shape == (1, 16, 16)
  np.testing.assert_allclose(maps[0, 8, 4], gelu(1), rtol=1e-6)


def test_an_attention_without_a_map_is_told_how_to_have_one(make_hand_made):
  model, variables = make_hand_made("stranger:ChannelMixing")
  with pytest.raises(errors.UserError, match=r"ChannelMixing.*self\.sow\("):
    attention_maps(model, variables, with_signal(32, 16))


def test_a_module_around_the_van_has_the_vans_maps(make_hand_made, pixelwise):
  model, variables = make_hand_made("lka", TAPS["lka"][0], num_classes=0)
  image = with_signal(32, 16)
  around = {
    "params": {
      "backbone": variables["params"],
      "head": {"kernel": np.ones((3, 2)), "bias": np.zeros(2)},
    },
    "batch_stats": {"backbone": variables["batch_stats"]},
  }
  ours = attention_maps(pixelwise(model), around, image)
  for name, expected in attention_maps(model, variables, image).items():
    np.testing.assert_array_equal(ours[name], expected)


class Twice(nn.Module):
  """Two VANs, and which of them is meant nobody can say."""

  van: models.VAN

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, 3] to [B, K]."""
    one = self.van.clone(name="a", parent=self)
    return one(x) + self.van.clone(name="b", parent=self)(x)


def test_modules_with_two_vans_are_refused(make_small):
  model, variables = make_small()
  both = {k: {"a": v, "b": v} for k, v in variables.items()}
  with pytest.raises(errors.UserError, match=r"one VAN.*a, b"):
    attention_maps(Twice(model), both, with_signal(3, 3))


def test_unknown_blocks_are_refused_with_those_that_there_are(make_small):
  model, variables = make_small()
  with pytest.raises(errors.UserError, match=r"stage9.*stage1/block0"):
    attention_maps(model, variables, with_signal(3, 3), block="stage9/block0")


def test_sowing_leaves_the_training_program_as_it_is(make_small, monkeypatch):
  model, variables = make_small()

  def program():
    def loss(params, x):
      outputs, _ = model.apply(
        {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
      )
      return jnp.sum(outputs)

    images = jnp.zeros((2, 32, 32, 3))
    return jax.jit(jax.grad(loss)).lower(variables["params"], images).as_text()

  sowing = program()
  monkeypatch.setattr(nn.Module, "sow", lambda *args: False)
  assert program() == sowing


def test_init_keeps_no_maps():
  shapes = models.variable_shapes(models.create_model("van_b0"))
  assert set(shapes) == {"params", "batch_stats"}


def test_positions_are_put_where_they_look():
  maps = np.zeros((1, 2, 2))
  maps[0, 1, 0] = 1  # Of stride 32: it looks at pixel (32, 0).
  large = upsample(maps, (64, 64))
  assert large.shape == (1, 64, 64)
  row, column = np.arange(64) / 32, np.arange(64) / 32
  expected = np.minimum(row, 1)[:, None] * np.maximum(1 - column, 0)
  np.testing.assert_allclose(large[0], expected, atol=1e-7)


@pytest.mark.parametrize("size", [33, 47, 64, 100])
@pytest.mark.parametrize("stride", [4, 8, 16, 32])
def test_every_stage_of_every_size_is_put_on_its_own_grid(size, stride):
  position = np.arange(-(-size // stride), dtype=float)
  maps = np.broadcast_to(position, (1, 9, len(position)))
  large = upsample(maps, (9, size))
  expected = np.minimum(np.arange(size) / stride, position[-1])
  np.testing.assert_allclose(large[0, 0], expected, rtol=1e-6)


def test_maps_of_no_stage_are_stretched():
  large = upsample(np.arange(5.0)[None, None], (1, 15))
  # Three pixels a position, whose centres are 1, 4, 7, 10 and 13.
  expected = np.clip((np.arange(15) - 1) / 3, 0, 4)
  np.testing.assert_allclose(large[0, 0], expected, atol=1e-6)
