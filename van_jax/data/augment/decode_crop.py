"""The part of a training image that is shown, from its own seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from etils import epy

from van_jax.data.augment import crop
from van_jax.data.augment.options import Augmentation
from van_jax.data.host import tf
from van_jax.data.images import decode

with epy.lazy_imports():
  from van_jax.data.augment import render


def decoder(how: Augmentation) -> Callable[[Any, Any], tuple[Any, Any]]:
  """Returns the function that draws and decodes the crop of one image.

  It maps an encoded image, [] string, and a seed, [2] int64, of which the
  image is a function, to the crop, uint8 [h, w, 3], and the random numbers
  that `render.py` finishes it with: TensorFlow's stateless ones.
  """
  count = crop.DRAWS + render.draws(how)

  def decode_crop(encoded, seed):
    draws = tf.random.stateless_uniform([count], seed)
    image = _decode(encoded, draws[: crop.DRAWS], how)
    return image, draws[crop.DRAWS :]

  return decode_crop


def _decode(encoded: Any, draws: Any, how: Augmentation) -> Any:
  """Returns the part of the image that the crop takes, not yet resized."""
  if how.crop != "random_resized":
    return decode.decode(encoded)
  image, _ = decode.decode_box(
    encoded,
    lambda height, width: crop.draw_box(
      height, width, draws, scale=how.crop_scale, ratio=how.crop_ratio
    ),
  )
  return image
