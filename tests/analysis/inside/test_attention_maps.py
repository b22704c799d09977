"""Attention maps against closed forms, in a network made by hand."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import errors, models
from van_jax.analysis import attention_maps, upsample

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
  images = np.concatenate([with_signal(32, 16, 3), with_signal(40, 24, -0.5)])
  maps = attention_maps(model, variables, images)["stage1/block0"]
  for one, place in zip(maps, [(5, 4), (7, 6)], strict=True):
    assert one[place] == one.max() == 1
    assert one.sum() == 1  # Zero elsewhere.


def test_flat_maps_are_zero(make_hand_made):
  model, variables = make_hand_made("lka")
  maps = attention_maps(model, variables, with_signal(32, 16))
  assert all(not one.any() for one in maps.values())


def test_one_block_is_the_same_as_among_all(make_small):
  model, variables = make_small(depths=(1, 2, 1, 1), remat=True)
  images = np.random.default_rng(0).standard_normal((2, 32, 32, 3), "f")
  maps = attention_maps(model, variables, images)
  (one,) = attention_maps(
    model, variables, images, block="stage2/block1"
  ).values()
  np.testing.assert_array_equal(one, maps["stage2/block1"])
  assert list(maps)[1:3] == ["stage2/block0", "stage2/block1"]


def test_the_map_of_a_sigmoid_gate_is_the_sigmoid(make_hand_made):
  taps, _ = TAPS["lka"]
  model, variables = make_hand_made({"name": "lka", "gate": "sigmoid"}, taps)
  maps = attention_maps(
    model, variables, with_signal(32, 16), normalised=False
  )["stage1/block0"]
  lit = (1 / (1 + math.exp(-gelu(1))) + 0.5 + 0.5) / 3
  np.testing.assert_allclose(maps[0, 5, 4], lit, rtol=1e-6)
  np.testing.assert_allclose(maps[0, 8, 4], 0.5, rtol=1e-6)


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


def test_modules_with_two_vans_are_refused(make_small):
  model, variables = make_small()

  class Twice(nn.Module):
    @nn.compact
    def __call__(self, x):
      return model.clone(name="a")(x) + model.clone(name="b")(x)

  both = {k: {"a": v, "b": v} for k, v in variables.items()}
  with pytest.raises(errors.UserError, match=r"one VAN.*a, b"):
    attention_maps(Twice(), both, with_signal(3, 3))


def test_unknown_blocks_are_refused_with_those_that_there_are(make_small):
  model, variables = make_small()
  with pytest.raises(errors.UserError, match=r"stage9.*stage1/block0"):
    attention_maps(model, variables, with_signal(3, 3), block="stage9/block0")


@pytest.mark.parametrize("attention", TAPS)
def test_sowing_leaves_the_training_program_as_it_is(
  attention, make_small, monkeypatch
):
  model, variables = make_small(attention=attention)

  def program():
    def loss(params, x):
      outputs, _ = model.apply(
        {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
      )
      return jnp.sum(outputs)

    images = jnp.zeros((1, 32, 32, 3))
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
  large = upsample(np.array([[[0.0, 1.0, 2.0]]]), (32, 12))
  # Four pixels a position, whose centres are 1.5, 5.5 and 9.5.
  expected = np.clip((np.arange(12) - 1.5) / 4, 0, 2)
  np.testing.assert_allclose(large[0, 0], expected, atol=1e-6)
