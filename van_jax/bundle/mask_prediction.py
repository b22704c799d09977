"""From a segmenter's bundle and photographs to masks of their own sizes."""

import functools
import math
import os
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from van_jax import errors, models
from van_jax.bundle import few_sizes
from van_jax.bundle.bundle import Bundle
from van_jax.data.images import (
  dense_preprocessing,
  normalization,
  preprocessing,
)
from van_jax.data.mask_numbering import VOID
from van_jax.ops import pixels as pixels_lib

# Masks of a batch are computed at one size, of which there are so many between
# one and its double: the next one has 1.4 times the pixels at the most.
_STEPS = 4


class _Kind(NamedTuple):
  """What images have in common that share a program: (height, width) of both.

  Attributes:
    seen: what the network sees.
    room: what has room for each mask.
  """

  seen: tuple[int, int]
  room: tuple[int, int]


def predict_masks(
  bundle: Bundle[models.Segmenter],
  images: Iterable[preprocessing.AnImage],
  batch_size: int,
) -> list[np.ndarray]:
  """Returns the likeliest class of each pixel, uint8 [H, W] of each image.

  They are evaluation's, of one look at the whole image: its logits go to what
  the network saw, then to the image's own size. VOID is where there is none.
  Images are read one by one, and kept until there is a batch of their kind.

  Args:
    bundle: of a segmenter.
    images: what `preprocessing.rgb_of` takes, of any sizes.
    batch_size: images that the network sees at once.

  Raises:
    UserError: if an image cannot be read, or is too small for the network.
  """
  masks: dict[int, np.ndarray] = {}
  waiting: dict[_Kind, dict[int, tuple[np.ndarray, tuple[int, int]]]] = {}
  for number, image in enumerate(images):
    pixels, size = _read(image, bundle.preprocessing)
    kind = _kind(pixels, size)
    waiting.setdefault(kind, {})[number] = pixels, size
    if len(waiting[kind]) == batch_size:
      masks |= _answered(bundle, kind, waiting.pop(kind), batch_size)
  for kind, some in waiting.items():
    masks |= _answered(bundle, kind, some, batch_size)
  return [masks[number] for number in range(len(masks))]


def _read(
  image: preprocessing.AnImage, to: dense_preprocessing.DensePreprocessing
) -> tuple[np.ndarray, tuple[int, int]]:
  """Returns what the network sees of an image, and the image's own size."""
  rgb = preprocessing.rgb_of(image, exif_rotation=to.exif_rotation)
  width, height = rgb.size
  if reason := to.complaint(height, width):
    name = os.fspath(image) if isinstance(image, str | os.PathLike) else "image"
    raise errors.UserError(
      f"{name}: {reason}, by load_bundle(path, preprocessing={{...}})."
    )
  return dense_preprocessing.resize_whole(np.array(rgb), to), (height, width)


def _kind(pixels: np.ndarray, size: tuple[int, int]) -> _Kind:
  seen = pixels.shape[0], pixels.shape[1]
  growth = max(own / side for own, side in zip(size, seen, strict=True))
  factor = 2 ** (math.ceil(_STEPS * math.log2(growth)) / _STEPS)
  height, width = (math.ceil(side * factor) for side in seen)
  return _Kind(seen, (height, width))


def _answered(
  bundle: Bundle[models.Segmenter],
  kind: _Kind,
  examples: dict[int, tuple[np.ndarray, tuple[int, int]]],
  batch_size: int,
) -> dict[int, np.ndarray]:
  """Returns the masks of some examples of one kind, by their numbers."""
  shown = bundle.preprocessing
  pixels, sizes = zip(*examples.values(), strict=True)
  filled = few_sizes.filled(pixels, batch_size)
  room = np.full((len(filled), 2), kind.room, np.int32)
  room[: len(sizes)] = sizes
  run = _class_maps(cast(Hashable, bundle.model))
  found = np.asarray(
    run(bundle.variables, filled, room, shown.mean, shown.std, kind.room)
  )
  # Copies: a part of the batch's would keep all of it.
  return {
    number: found[row, :height, :width].copy()
    for row, (number, (height, width)) in enumerate(
      zip(examples, sizes, strict=True)
    )
  }


@functools.lru_cache(maxsize=8)
def _class_maps(model: Any) -> Callable[..., jax.Array]:
  """Returns a compiled function from pixels to classes, uint8 [B, *room]."""

  @functools.partial(jax.jit, static_argnames="room")
  def run(variables, pixels, sizes, mean, std, room):
    images = normalization.normalize(pixels, mean=mean, std=std)
    logits: Any = model.apply(variables, images, train=False)
    view = pixels_lib.View(logits, (images.shape[1], images.shape[2]))
    classes = pixels_lib.class_map([view], room, sizes)
    none = classes == model.num_classes
    return jnp.where(none, VOID, classes).astype(jnp.uint8)

  return run
