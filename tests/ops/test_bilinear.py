"""Bilinear resizing, against torch's."""

import jax
import numpy as np
import pytest
import torch

from van_jax.ops import bilinear


@pytest.mark.parametrize("size", [(10, 28), (5, 17), (1, 4)], ids=str)
def test_resize_is_torchs_without_aligned_corners(key, size):
  x = np.asarray(jax.random.normal(key, (2, 5, 7, 3)))
  expected = torch.nn.functional.interpolate(
    torch.tensor(x).movedim(3, 1), size, mode="bilinear", align_corners=False
  ).movedim(1, 3)
  # Four products of float32 with numbers of up to 3, and places to 1e-6.
  np.testing.assert_allclose(
    jax.jit(bilinear.resize, static_argnums=1)(x, size), expected, atol=5e-6
  )


def test_places_beyond_the_end_are_the_last():
  matrix = jax.jit(bilinear.weights, static_argnums=1)(np.arange(9), 4, 6)
  np.testing.assert_array_equal(matrix[6:], np.tile([0, 0, 0, 1], (3, 1)))
