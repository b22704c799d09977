"""Normalisation on the device, and its inverse."""

import jax.numpy as jnp
import numpy as np

from van_jax.data.images import normalization

HOW = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
BYTES = jnp.arange(256, dtype=jnp.uint8).repeat(3).reshape(1, 16, 16, 3)


def test_normalizing_subtracts_the_mean_and_divides_by_std():
  expected = (np.asarray(BYTES) / 255 - HOW["mean"]) / HOW["std"]
  # float32 of numbers below 3.
  np.testing.assert_allclose(
    normalization.normalize(BYTES, **HOW), expected, atol=1e-6
  )


def test_denormalizing_gives_every_byte_back():
  images = normalization.normalize(BYTES, **HOW)
  np.testing.assert_array_equal(normalization.denormalize(images, **HOW), BYTES)


def test_denormalizing_clips_what_no_byte_holds():
  noise = jnp.array([-9.0, 0.0, 9.0]).reshape(1, 1, 1, 3)
  pixels = normalization.denormalize(noise, mean=(0.5,) * 3, std=(0.5,) * 3)
  assert pixels.ravel().tolist() == [0, 128, 255]
