"""Training batches of images and masks, as NumPy arrays on the host."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from etils import epy

from van_jax import errors
from van_jax.data.augment.dense_options import DenseAugmentation
from van_jax.data.images import decode, masks
from van_jax.data.pipeline import grouping, pair_check, readable, skipping
from van_jax.data.sources.split import Share, Split, fetch_parts
from van_jax.data.tensorflow import tf

with epy.lazy_imports():  # They need Numba.
  from van_jax.data.augment import dense_crop, dense_render

_CROP = 9  # Numbers of a `dense_crop.Crop`.


def batches(
  split: Split,
  seed: int,
  share: Share,
  how: DenseAugmentation,
  *,
  exif_rotation: bool,
  skip: bool,
) -> Iterator[dict[str, np.ndarray]]:
  """Returns the endless batches; arguments are checked.

  Yields:
    {"image": uint8 [B / process_count, S, S, 3], "label": uint8 of the same
    without channels, 255 where it is void}.
  """
  assert split.mask_numbering is not None
  example = _maker(split, seed, how, exif_rotation)

  def order_from(batches_done):
    start = share.start_step + batches_done
    return split.shuffled(seed, dataclasses.replace(share, start_step=start))

  if skip:
    made = skipping.marked(order_from(0), example)
  else:
    made = order_from(0).map(
      example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
  size = share.examples_per_step
  examine = pair_check.examiner(
    split.mask_numbering, exif_rotation=exif_rotation
  )
  read = readable.batches(
    grouping.ahead(made.batch(size, drop_remainder=True)),
    order_from,
    split,
    size,
    remedy="replace it, or set data.on_damaged='skip'",
    examine=examine,
  )
  return skipping.repaired(read, split, examine) if skip else read


def _maker(
  split: Split, seed: int, how: DenseAugmentation, exif_rotation: bool
) -> Any:
  """Returns the function from an element of the order to a crop, in a graph."""
  numbering = split.mask_numbering
  assert numbering is not None
  table, size = numbering.table(), how.image_size
  of_crop = dense_crop.draws(how)

  def crop_mask(mask, uniforms):
    if numbering.complaint_of(dense_crop.count(mask)):
      raise errors.UserError("the mask is damaged")  # `pair_check` says how.
    crop, label = dense_crop.draw(mask, table, uniforms[:of_crop], how)
    box = dense_crop.source_box(crop)
    numbers = (*crop.size, *crop.resized, *crop.window, crop.flipped)
    return np.array([*box, *numbers], np.int32), label

  def render(part, place, numbers, uniforms):
    numbers = numbers.tolist()
    crop = dense_crop.Crop(
      tuple(numbers[:2]), tuple(numbers[2:4]), tuple(numbers[4:8]), numbers[8]
    )
    top, left, H, W = place.tolist()
    if crop.size != (H, W):
      raise errors.UserError("the mask has another size than its image")
    distortion = dense_render.draw_distortion(uniforms[of_crop:], how)
    return dense_render.render(part, (top, left), crop, distortion, how)

  @tf.autograph.experimental.do_not_convert  # It hides a UserError in its own.
  def example(epoch, repetition, index, handle):
    del repetition  # Always 0.
    encoded, parts = fetch_parts(split, handle)
    key = tf.stack([tf.constant(seed, tf.int64), epoch])
    key = tf.random.fold_in(key, index)
    uniforms = tf.random.stateless_uniform([of_crop + dense_render.DRAWS], key)
    mask = masks.decode(parts["label"])
    numbers, label = tf.numpy_function(
      crop_mask, [mask, uniforms], (tf.int32, tf.uint8), stateful=False
    )
    numbers = tf.ensure_shape(numbers, [4 + _CROP])
    part, place = decode.decode_box(
      encoded, lambda height, width: numbers[:4], exif_rotation=exif_rotation
    )
    image = tf.numpy_function(
      render, [part, place, numbers[4:], uniforms], tf.uint8, stateful=False
    )
    return {
      "image": tf.ensure_shape(image, [size, size, 3]),
      "label": tf.ensure_shape(label, [size, size]),
    }

  return example
