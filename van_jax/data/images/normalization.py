"""Normalisation of pixels, on the device: images leave the host as bytes."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def normalize(
  images: jax.Array, *, mean: Sequence[float], std: Sequence[float]
) -> jax.Array:
  """Returns (images / 255 - mean) / std, float32 [B, H, W, 3].

  Args:
    images: uint8 [B, H, W, 3].
    mean: of the three channels, of [0, 1] pixels.
    std: likewise.
  """
  shift = jnp.asarray(mean, jnp.float32).reshape(1, 1, 1, 3)
  scale = jnp.asarray(std, jnp.float32).reshape(1, 1, 1, 3)
  return (images.astype(jnp.float32) / 255.0 - shift) / scale


def denormalize(
  images: jax.Array, *, mean: Sequence[float], std: Sequence[float]
) -> jax.Array:
  """Returns the bytes that `normalize` came from, clipped, [B, H, W, 3].

  Args:
    images: floating point [B, H, W, 3].
    mean: as given to `normalize`.
    std: likewise.
  """
  shift = jnp.asarray(mean, jnp.float32).reshape(1, 1, 1, 3)
  scale = jnp.asarray(std, jnp.float32).reshape(1, 1, 1, 3)
  pixels = (images.astype(jnp.float32) * scale + shift) * 255.0
  return jnp.clip(jnp.round(pixels), 0, 255).astype(jnp.uint8)
