"""Counts against every figure that was published for VAN."""

import decimal
import functools
import re
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax._src import xla_bridge

from van_jax import models
from van_jax.analysis.complexity import complexity, main


@functools.cache
def counted(name, image_size=224, **overrides):
  return complexity(models.create_model(name, **overrides), image_size)


def with_lka(**fields):
  """Returns the counts of B0 whose large kernel attention has these fields."""
  attention = {"name": "lka", **fields}
  return complexity(models.create_model("van_b0", attention=attention))


def printed(flops, decimals):
  """Returns GFLOPs as the tables print them: from one decimal more, half up.

  All but two of the figures are the plain rounding too. B5 at 384 is 50.5747
  and printed 50.58; without the dilated convolution B0 is 0.8485 and printed
  0.9. Both follow from the extra digit, which the counting tools print.
  """
  value = decimal.Decimal(flops) / 10**9
  for digits in (decimals + 1, decimals):
    value = round_half_up(value, digits)
  return str(value)


def round_half_up(value, digits):
  unit = decimal.Decimal(1).scaleb(-digits)
  return value.quantize(unit, rounding=decimal.ROUND_HALF_UP)


# arXiv:2202.09741, Tables 1 and 8; for van_b6 the OpenMMLab model table.
# Name, exact parameters, GMACs and GFLOPs at 224 as printed there.
PUBLISHED = [
  ("van_b0", 4_105_800, "0.8642", "0.88"),
  ("van_b1", 13_861_800, "2.4953", "2.52"),
  ("van_b2", 26_578_472, "4.9928", "5.03"),
  ("van_b3", 44_765_608, "8.9253", "8.99"),
  ("van_b4", 60_283_176, "12.1438", "12.22"),
  ("van_b5", 89_967_688, "17.1291", "17.21"),
  ("van_b6_paper", 199_829_416, "38.7101", "38.9"),
]


@pytest.mark.parametrize(("name", "params", "gmacs", "gflops"), PUBLISHED)
def test_variants_equal_the_published_figures(name, params, gmacs, gflops):
  ours = counted(name)
  decimals = len(gflops.split(".")[1])
  assert ours.params == params
  assert f"{ours.macs / 1e9:.4f}" == gmacs
  assert printed(ours.flops, decimals) == gflops


def test_van_b6_equals_openmmlab_which_counts_the_backbone():
  ours = counted("van_b6")
  assert ours.params == 283_897_096
  assert f"{ours.macs / 1e9:.4f}" == "55.0559"
  assert f"{ours.flops / 1e9:.4f}" == "55.2857"
  head = 768 * 1000 + 1000
  assert f"{(ours.flops - head) / 1e9:.4f}" == "55.2849"  # Printed 55.28.


def test_without_a_head_only_the_head_is_missing():
  whole, backbone = counted("van_b0"), counted("van_b0", num_classes=0)
  assert whole.params - backbone.params == 256 * 1000 + 1000
  assert whole.macs - backbone.macs == 256 * 1000
  assert whole.flops - backbone.flops == 256 * 1000 + 1000


@pytest.mark.parametrize(
  ("name", "gflops"),
  [("van_b4", "35.92"), ("van_b5", "50.58"), ("van_b6_paper", "114.34")],
)
def test_flops_at_384_equal_the_published_figures(name, gflops):
  assert printed(counted(name, 384).flops, 2) == gflops


# Table 3: the change, exact parameters, M parameters and GFLOPs as printed.
ABLATIONS = {
  "no depthwise": (
    {"convs": ("dilated", "pointwise")},
    (4_064_200, "4.1", "0.9"),
  ),
  "no dilated": (
    {"convs": ("depthwise", "pointwise")},
    (4_025_800, "4.0", "0.9"),
  ),
  "no pointwise": (
    {"convs": ("depthwise", "dilated")},
    (3_829_768, "3.8", "0.8"),
  ),
  "dense": ({"convs": ("dense",)}, (124_734_280, "124.7", "23.2")),
  "no attention": ({"gate": "none"}, (4_105_800, "4.1", "0.9")),
  "add": ({"gate": "add"}, (4_105_800, "4.1", "0.9")),
  "sigmoid": ({"gate": "sigmoid"}, (4_105_800, "4.1", "0.9")),
  "none": ({}, (4_105_800, "4.1", "0.9")),
}


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_ablations_equal_table_3(ablation):
  fields, (params, millions, gflops) = ABLATIONS[ablation]
  ours = with_lka(**fields)
  assert ours.params == params
  assert f"{ours.params / 1e6:.1f}" == millions
  assert printed(ours.flops, 1) == gflops


@pytest.mark.parametrize(
  ("kernel_size", "dilation", "millions", "gflops", "taps"),
  [
    (7, 2, "4.03", "0.85", (3, 4)),
    (14, 3, "4.07", "0.87", (5, 5)),
    (21, 3, "4.11", "0.88", (5, 7)),
    (28, 4, "4.14", "0.90", (7, 7)),
  ],
)
def test_kernel_sizes_equal_table_6(
  kernel_size, dilation, millions, gflops, taps
):
  ours = with_lka(kernel_size=kernel_size, dilation=dilation)
  assert f"{ours.params / 1e6:.2f}" == millions
  assert printed(ours.flops, 2) == gflops
  lka = models.LargeKernelAttention(kernel_size, dilation)
  params = shapes_of(lka, 8)
  assert params["conv0"]["kernel"].shape == (taps[0], taps[0], 1, 8)
  assert params["conv_spatial"]["kernel"].shape == (taps[1], taps[1], 1, 8)


B0_CHANNELS = 3 * 32 + 3 * 64 + 5 * 160 + 2 * 256  # Of all blocks.
B0_POSITIONS = (  # Times channels, of all blocks at 224.
  3 * 32 * 56**2 + 3 * 64 * 28**2 + 5 * 160 * 14**2 + 2 * 256 * 7**2
)


@pytest.mark.parametrize(
  ("attention", "params", "convolutions", "a_channel"),
  [
    # Weights of the depthwise kernels, a channel; and with biases.
    ("lska", 4_029_000, 5 + 5 + 7 + 7, 28),
    ("msca", 4_160_200, 25 + 2 * 7 + 2 * 11 + 2 * 21, 110),
  ],
)
def test_other_attentions_equal_their_closed_forms(
  attention, params, convolutions, a_channel
):
  lka, ours = counted("van_b0"), counted("van_b0", attention=attention)
  assert ours.params == params
  # LKA: 5x5 and 7x7 with biases, 76 numbers a channel.
  assert ours.params - lka.params == B0_CHANNELS * (a_channel - 76)
  assert ours.macs - lka.macs == B0_POSITIONS * (convolutions - 25 - 49)


def test_products_of_a_strangers_attention_are_counted():
  ours = counted("van_b0", attention="stranger:ChannelMixing")
  bare = with_lka(convs=("dilated",), kernel_size=9)  # 3x3, as the stranger's.
  maps = ((32, 56, 3), (64, 28, 3), (160, 14, 5), (256, 7, 2))
  # Two products of a map with another, or with a matrix of channels.
  mixing = sum(2 * c * c * size**2 * depth for c, size, depth in maps)
  assert ours.macs == bare.macs + mixing
  norms = sum(2 * c * size**2 * depth for c, size, depth in maps)
  assert ours.flops - ours.macs == bare.flops - bare.macs + norms
  assert ours.params == bare.params + 2 * B0_CHANNELS


def shapes_of(module: nn.Module, channels: int):
  x = jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32)
  return jax.eval_shape(module.init, jax.random.key(0), x)["params"]


# Table 2: parameters of one 21 x 21 operation, biases not counted there.
TABLE_2 = {
  32: (451_584, 15_136, 3_392),
  64: (1_806_336, 32_320, 8_832),
  128: (7_225_344, 72_832, 25_856),
  256: (28_901_376, 178_432, 84_480),
  512: (115_605_504, 487_936, 300_032),
}


@pytest.mark.parametrize("channels", TABLE_2)
def test_one_operation_equals_table_2(channels):
  dense, depthwise, lka = TABLE_2[channels]

  def weights(module):
    leaves = jax.tree.leaves_with_path(shapes_of(module, channels))
    return sum(x.size for path, x in leaves if "kernel" in str(path[-1]))

  assert weights(models.LargeKernelAttention(convs=("dense",))) == dense
  assert weights(models.LargeKernelAttention()) == lka
  # The paper's "depthwise": an undilated 21 x 21 one, then the 1x1.
  plain = models.LargeKernelAttention(21, 1, convs=("dilated", "pointwise"))
  assert weights(plain) == depthwise


@pytest.mark.parametrize(
  ("image_size", "shapes"),
  [
    (224, ((56, 56, 32), (28, 28, 64), (14, 14, 160), (7, 7, 256))),
    ((33, 32), ((9, 8, 32), (5, 4, 64), (3, 2, 160), (2, 1, 256))),
  ],
)
def test_stage_shapes_are_the_maps(image_size, shapes):
  assert counted("van_b0", image_size).stage_shapes == shapes


def test_counting_computes_nothing(monkeypatch):
  def refuse(*args, **kwargs):
    raise AssertionError("a device was asked for")

  monkeypatch.setattr(xla_bridge, "backends", refuse)
  assert complexity(models.create_model("van_b1"), 64).params == 13_861_800


def test_command_prints_a_row_a_model(capsys):
  main(["van_b0", "van_b1", "--image_size=64", "--num_classes=10"])
  header, *rows = capsys.readouterr().out.splitlines()
  assert header.split()[:4] == ["model", "params", "GMACs", "GFLOPs"]
  params = 4_105_800 - 257 * 990
  assert rows[0].split()[:2] == ["van_b0", f"{params:,}"]
  assert [row.split()[0] for row in rows] == ["van_b0", "van_b1"]
  assert rows[0].split()[-1] == "2x2x256"


@pytest.mark.parametrize(
  ("argument", "message"),
  [("van_b9", "van_b9.*there are van_b"), ("--image_size=31", "at least 32")],
)
def test_command_names_bad_arguments(argument, message, capsys):
  with pytest.raises(SystemExit) as exit_info:
    main([argument])
  assert exit_info.value.code == 2
  assert re.search(message, capsys.readouterr().err, re.DOTALL)


def test_command_runs_as_a_module_without_warnings():
  command = [sys.executable, "-W", "error", "-m"]
  command += ["van_jax.analysis.complexity", "van_b0"]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  assert done.stderr == ""
  assert "4,105,800" in done.stdout
