"""Segmenters' parameters and FLOPs: by module, and as mmcv counts them."""

import functools

import pytest

from van_jax import models
from van_jax.analysis.complexity import complexity

# FLOPs and parameters, at 512 x 512, of mmsegmentation 1.2.2's FPN, FPNHead,
# UPerHead and FCNHead on `TorchVAN`, by mmcv 2.1.0's get_model_complexity_info
# (BatchNorm in place of SyncBN, which it does not know).
BY_MMCV = {
  ("van_b0", "fpn"): (25_808_240_640, 7_984_374),
  ("van_b0", "upernet"): (214_514_150_400, 32_133_004),
  ("van_b2", "upernet"): (237_004_893_184, 56_553_324),
}
K = 150  # ADE20K's classes.
SIDES = (128, 64, 32, 16)  # Of the stages' maps, for 512 pixels.


def segmenter(name, head, auxiliary):
  return models.create_segmenter(
    name, num_classes=K, head=head, auxiliary=auxiliary
  )


@functools.cache
def counted(name, head=None):
  """Returns the counts of a backbone, or of a segmenter as published."""
  if head is None:
    return complexity(models.create_model(name, num_classes=0), 512)
  auxiliary = "fcn" if head == "upernet" else None
  return complexity(segmenter(name, head, auxiliary), 512)


@pytest.mark.parametrize("row", BY_MMCV, ids=str)
def test_counts_at_512_are_mmcvs_of_mmsegmentations_modules(row):
  found = counted(*row)
  assert (found.flops, found.params) == BY_MMCV[row]


def conv(pixels, channels, features, size, *, bias):
  """Returns a convolution's multiply-adds, and one for each bias added."""
  return pixels * features * (size * size * channels + bias)


def unit(pixels, channels, features, size):
  """Returns those of a convolution, BatchNorm (2 an element) and ReLU (1)."""
  return conv(pixels, channels, features, size, bias=0) + 3 * pixels * features


def fpn(widths):
  p = [side**2 for side in SIDES]
  neck = sum(
    conv(p[i], widths[i], 256, 1, bias=1) + conv(p[i], 256, 256, 3, bias=1)
    for i in range(4)
  )
  first = sum(unit(pixels, 256, 128, 3) for pixels in p)
  # After an enlargement: level 2 at level 1's size, level 3 at 2's and 1's.
  more = sum(unit(p[i], 128, 128, 3) for i in (1, 2, 1))
  return neck + first + more + conv(p[0], 128, K, 1, bias=1)


def upernet(widths):
  p = [side**2 for side in SIDES]
  lateral = sum(unit(p[i], widths[i], 512, 1) for i in range(3))
  pooling = sum(
    p[3] * widths[3] + unit(scale**2, widths[3], 512, 1)
    for scale in (1, 2, 3, 6)
  )
  bottleneck = unit(p[3], widths[3] + 4 * 512, 512, 3)
  outputs = sum(unit(p[i], 512, 512, 3) for i in range(3))
  fusion = unit(p[0], 4 * 512, 512, 3)
  last = conv(p[0], 512, K, 1, bias=1)
  return lateral + pooling + bottleneck + outputs + fusion + last


@pytest.mark.parametrize(("head", "form"), [("fpn", fpn), ("upernet", upernet)])
def test_flops_at_512_are_the_modules_closed_forms(head, form):
  own = counted("van_b0", head).flops - counted("van_b0").flops
  assert own == form(models.VARIANTS["van_b0"].widths)


def test_an_auxiliary_head_has_parameters_and_no_part_in_inference():
  bare = complexity(segmenter("van_b0", "upernet", None), 512)
  whole = counted("van_b0", "upernet")
  assert (whole.macs, whole.flops) == (bare.macs, bare.flops)
  # 3x3 without bias, BatchNorm's two, 1x1 with bias.
  own = 9 * 160 * 256 + 2 * 256 + 256 * K + K
  assert whole.params - bare.params == own


def test_pooling_and_resizing_are_no_products():
  whole = counted("van_b0", "upernet")
  norms_and_relu = (
    3 * 512 * (128**2 * 3 + 64**2 * 2 + 32**2 * 2 + 16**2 + sum((1, 4, 9, 36)))
  )
  pooled = 4 * 16**2 * 256
  biases = 128**2 * K
  own = whole.flops - whole.macs
  body = counted("van_b0")
  assert own - (body.flops - body.macs) == norms_and_relu + pooled + biases


def test_stage_shapes_are_the_backbones():
  assert counted("van_b0", "fpn").stage_shapes == tuple(
    (side, side, width)
    for side, width in zip(SIDES, (32, 64, 160, 256), strict=True)
  )
