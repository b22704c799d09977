"""Layers add up to the model that they are of."""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import errors, models
from van_jax.analysis import layer_table
from van_jax.analysis.complexity import complexity

IMAGE = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)


def counted(model, images=IMAGE):
  return layer_table(model, models.variable_shapes(model), images)


@pytest.mark.parametrize("attention", ["lka", "stranger:ChannelMixing"])
def test_layers_add_up_to_the_models_counts(attention, make_small):
  model, _ = make_small(attention=attention, implementation="auto")
  whole, layers = complexity(model, 64), counted(model)
  assert sum(layer.params for layer in layers) == whole.params
  assert sum(layer.macs for layer in layers) == whole.macs
  assert sum(layer.flops for layer in layers) == whole.flops
  assert len({layer.path for layer in layers}) == len(layers)


def test_a_layer_has_what_its_formula_says(make_small):
  model, _ = make_small(widths=(8, 4, 4, 4))
  layers = {
    layer.path: layer
    for layer in counted(model, jax.ShapeDtypeStruct((2, 64, 64, 3), "f"))
  }
  dilated = layers["block1_0/attn/spatial_gating_unit/conv_spatial"]
  assert dilated.kind == "Depthwise"
  assert dilated.output_shape == (2, 16, 16, 8)
  assert dilated.params == 49 * 8 + 8
  assert dilated.macs == 49 * 8 * 16 * 16  # An image, whatever the batch.
  assert dilated.flops == dilated.macs + 8 * 16 * 16
  assert dilated.bytes == 4 * (dilated.params + 2 * 2 * 8 * 16 * 16)
  norm = layers["norm1"]
  assert (norm.macs, norm.flops) == (0, 2 * 8 * 16 * 16)
  block = layers["block1_0"]  # Its two layer scales alone.
  assert (block.params, block.flops) == (2 * 8, 0)


def test_products_outside_of_layers_are_the_attentions_own(make_small):
  model, _ = make_small(attention="stranger:ChannelMixing")
  layers = {layer.path: layer for layer in counted(model)}
  unit = layers["block1_0/attn/spatial_gating_unit"]
  assert unit.kind == "ChannelMixing"
  assert unit.macs == 2 * 4 * 4 * 16**2  # Channels by channels, twice.
  assert unit.params == 0


def test_layers_of_a_module_around_are_there_too(make_small, pixelwise):
  model, _ = make_small(num_classes=0, implementation="auto")
  shapes = models.variable_shapes(model)
  head = {"kernel": np.ones((4, 2)), "bias": np.zeros(2)}
  around = {
    "params": {"backbone": shapes["params"], "head": head},
    "batch_stats": {"backbone": shapes["batch_stats"]},
  }
  layers = layer_table(pixelwise(model), around, IMAGE)
  inner = [layer for layer in layers if layer.path.startswith("backbone/")]
  assert sum(layer.flops for layer in inner) == complexity(model, 64).flops
  assert layers[-1].path == "head"
  assert layers[-1].macs == 4 * 2 * 2 * 2


class Hidden(nn.Module):
  """Makes a VAN by itself."""

  make: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, 3] to [B, K]."""
    return self.make(name="van")(x)


def test_what_cannot_be_counted_is_refused(make_small):
  small, _ = make_small(implementation="auto")
  shapes = models.variable_shapes(small)
  around = {kind: {"van": tree} for kind, tree in shapes.items()}
  fields = {
    field.name: getattr(small, field.name)
    for field in dataclasses.fields(small)
    if field.name not in ("parent", "name")
  }
  hidden = Hidden(functools.partial(models.VAN, **fields))
  with pytest.raises(errors.UserError, match="cannot be counted"):
    layer_table(hidden, around, IMAGE)


class Two(nn.Module):
  """Two equal layers, a norm, and nothing to time on its own."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, 3] to the same."""
    x = nn.Dense(3, name="first")(x)
    return nn.LayerNorm(name="norm")(nn.Dense(3, name="second")(x))


def test_layers_are_timed_one_by_one():
  images = jnp.ones((2, 8, 8, 3))
  variables = Two().init(jax.random.key(0), images)
  timed = layer_table(Two(), variables, images, timed=True, repeats=2)
  seconds = {layer.path: layer.seconds for layer in timed}
  assert list(seconds) == ["first", "second", "norm"]
  assert all(second is not None and second > 0 for second in seconds.values())
  assert seconds["first"] == seconds["second"]  # Equal: measured once.
  untimed = layer_table(Two(), variables, images)
  assert all(layer.seconds is None for layer in untimed)


def test_shapes_alone_are_not_timed(make_small):
  model, _ = make_small()
  with pytest.raises(errors.UserError, match="shapes alone"):
    layer_table(model, models.variable_shapes(model), IMAGE, timed=True)
