"""Maps of a stage at the size of the image that they are of."""

import numpy as np

from van_jax import errors

_STRIDES = (4, 8, 16, 32)  # Of the stages; no two of 32 pixels give one size.


def upsample(maps: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
  """Returns maps [B, h, w] at an image's size, [B, H, W], float32, bilinear.

  Position i of a stage of stride s sees the pixels around s * i, as VAN's
  embeddings pad on both sides: kernel 7, stride 4, padding 3, then 3, 2, 1. It
  is put there. Stretching the map over the image, as is usual
  (align_corners=False), would put it (s - 1) / 2 pixels further down and to the
  right, 15.5 of them at stage 4. Beyond the last position its value stays.

  Maps of a size that no stage of such an image has are stretched.

  Args:
    maps: [B, h, w].
    image_size: (H, W).

  Raises:
    UserError: if they are of other shapes.
  """
  maps = np.asarray(maps)
  if maps.ndim != 3 or np.shape(image_size) != (2,):
    raise errors.UserError(
      f"maps of shape {maps.shape} and image_size={image_size!r} must be "
      "[B, h, w] and (H, W); maps[None] makes a batch of one."
    )
  rows = _weights(maps.shape[1], image_size[0])
  columns = _weights(maps.shape[2], image_size[1])
  return np.einsum("Hh,bhw,Ww->bHW", rows, maps, columns).astype(np.float32)


def _weights(size: int, pixels: int) -> np.ndarray:
  """Returns what each position gives to each pixel, [pixels, size]."""
  position = np.arange(pixels)
  fits = [stride for stride in _STRIDES if -(-pixels // stride) == size]
  if fits:
    position = position / fits[0]
  else:
    position = (position + 0.5) * size / pixels - 0.5
  position = np.clip(position, 0, size - 1)
  # A hat around each position: two of them share a pixel.
  return np.maximum(1 - np.abs(position[:, None] - np.arange(size)), 0)
