"""Composed kernels against what the attention itself makes of one pixel."""

import functools

import numpy as np
import pytest

from van_jax import errors
from van_jax.analysis import composed_kernel, depthwise_kernels
from van_jax.models import layers
from van_jax.models.attention import table

BLOCK = "stage2/block0"


@pytest.mark.parametrize(
  "attention",
  [
    {"name": "lka"},
    {"name": "lka", "kernel_size": 12, "dilation": 3},  # An even far kernel.
    {"name": "lska"},
    {"name": "msca", "kernel_sizes": (4, 7)},
  ],
  ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_the_kernel_is_what_becomes_of_one_pixel(attention, make_small):
  model, variables = make_small(attention=attention)
  unit = variables["params"]["block2_0"]["attn"]["spatial_gating_unit"]
  last = "conv3" if attention["name"] == "msca" else "conv1"
  for layer in unit.values():
    layer["bias"] = np.zeros(4, np.float32)
  unit[last]["kernel"] = np.eye(4, dtype=np.float32)[None, None]
  delta = np.zeros((1, 63, 63, 4), np.float32)
  delta[0, 31, 31] = 1
  run = {"implementation": "xla"}
  module = table.make(
    model.attention,
    name="unit",
    depthwise=functools.partial(layers.Depthwise, **run),
    pointwise=functools.partial(layers.Pointwise, **run),
  )
  _, state = module.apply({"params": unit}, delta, mutable=["intermediates"])
  answer = np.asarray(state["intermediates"]["attention_map"][0])
  kernel = composed_kernel(model, variables, block=BLOCK)
  # A network correlates: what pixel p gives to p - s is the kernel at s.
  size = kernel.shape[0]
  low, high = (size - 1) // 2, size // 2
  window = answer[0, 31 - high : 32 + low, 31 - high : 32 + low]
  np.testing.assert_allclose(window[::-1, ::-1], kernel, rtol=1e-4, atol=1e-5)
  assert np.count_nonzero(answer) <= kernel.size  # And nothing is outside.


def test_kernels_come_by_name_without_the_group_axis(make_small):
  model, variables = make_small(attention="lska")
  own = depthwise_kernels(model, variables, block=BLOCK)
  assert {name: kernel.shape for name, kernel in own.items()} == {
    "conv0h": (1, 5, 4),
    "conv0v": (5, 1, 4),
    "conv_spatial_h": (1, 7, 4),
    "conv_spatial_v": (7, 1, 4),
  }
  unit = variables["params"]["block2_0"]["attn"]["spatial_gating_unit"]
  np.testing.assert_array_equal(
    own["conv0h"][0, :, 2], unit["conv0h"]["kernel"][0, :, 0, 2]
  )


def test_dense_kernels_are_refused(make_small):
  attention = {"name": "lka", "convs": ("dense",), "kernel_size": 3}
  model, variables = make_small(attention=attention)
  with pytest.raises(errors.UserError, match=r"dense.* no depthwise kernels"):
    depthwise_kernels(model, variables, block=BLOCK)


def test_a_strangers_kernels_are_shown_one_by_one(make_small):
  model, variables = make_small(attention="stranger:ChannelMixing")
  assert list(depthwise_kernels(model, variables, block=BLOCK)) == ["near"]
  with pytest.raises(errors.UserError, match="one by one"):
    composed_kernel(model, variables, block=BLOCK)
