"""One training image from its encoded form and its own seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from etils import epy

from van_jax.data import crop, decode
from van_jax.data.augmentation import Augmentation
from van_jax.data.host import tf

with epy.lazy_imports():
  from van_jax.data import render


def augmenter(how: Augmentation) -> Callable[[Any, Any], Any]:
  """Returns the function that decodes and augments one image in a graph.

  It maps an encoded image, [] string, and a seed, [2] int64, of which the
  image is a function, to uint8 [image_size, image_size, 3]. Random numbers are
  TensorFlow's stateless ones; pixels after the decoder are `render.py`'s.
  """
  finish = render.compile_renderer(how)
  count = render.draws(how)

  def augment(encoded, seed):
    draws = tf.random.stateless_uniform([crop.DRAWS + count], seed)
    image = _decode(encoded, draws[: crop.DRAWS], how)
    image = tf.numpy_function(
      finish, [image, draws[crop.DRAWS :]], tf.uint8, stateful=False
    )
    return tf.ensure_shape(image, [how.image_size, how.image_size, 3])

  return augment


def _decode(encoded: Any, draws: Any, how: Augmentation) -> Any:
  """Returns the part of the image that the crop takes, not yet resized."""
  if how.crop != "random_resized":
    return decode.decode(encoded)
  return decode.decode_box(
    encoded,
    lambda height, width: crop.draw_box(
      height, width, draws, scale=how.crop_scale, ratio=how.crop_ratio
    ),
  )
