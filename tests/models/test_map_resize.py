"""Resizing and pooling of maps against PyTorch's."""

import functools

import jax
import numpy as np
import pytest
import torch
from torch.nn import functional

from van_jax.models.heads import pooling, resize

SIZES = [  # From, to: whole ratios, others, both ways, and one pixel.
  ((5, 3), (10, 12)),
  ((4, 6), (12, 6)),
  ((6, 4), (11, 7)),
  ((12, 9), (6, 5)),
  ((1, 1), (4, 3)),
  ((7, 5), (1, 1)),
]


@functools.cache
def maps(size):
  rng = np.random.default_rng(0)
  return rng.standard_normal((2, *size, 3)).astype(np.float32)


def torchs(function, x):
  """Returns what torch makes of a map, computed in float64."""
  y = function(torch.from_numpy(x.astype(np.float64)).permute(0, 3, 1, 2))
  return y.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_bilinear_is_torchs_without_aligned_corners(before, after):
  x = maps(before)
  expected = torchs(
    lambda x: functional.interpolate(
      x, after, mode="bilinear", align_corners=False
    ),
    x,
  )
  found = jax.jit(resize.bilinear, static_argnums=1)(x, after)
  # Blends of blends: some roundings of 6e-8.
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_nearest_is_torchs(before, after):
  x = maps(before)
  expected = torchs(lambda x: functional.interpolate(x, after), x)
  found = jax.jit(resize.nearest, static_argnums=1)(x, after)
  np.testing.assert_array_equal(found, expected.astype(np.float32))


@pytest.mark.parametrize("cells", [1, 3, 6])
@pytest.mark.parametrize("size", [(1, 2), (12, 7)])
def test_adaptive_pooling_is_torchs_on_overlapping_cells(size, cells):
  x = maps(size)
  expected = torchs(lambda x: functional.adaptive_avg_pool2d(x, cells), x)
  found = jax.jit(pooling.AdaptiveAveragePool(cells).apply)({}, x)
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_bfloat16_maps_are_blended_in_float32():
  x = jax.numpy.asarray(maps((5, 3)), jax.numpy.bfloat16)
  found = jax.jit(resize.bilinear, static_argnums=1)(x, (10, 12))
  exact = resize.bilinear(x.astype(np.float32), (10, 12))
  assert found.dtype == x.dtype
  # Rounded once, at the end.
  np.testing.assert_array_equal(found, exact.astype(x.dtype))
