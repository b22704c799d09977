"""Random erasing: boxes of noise in the images of one device batch.

Semantics of timm 0.4.12's RandomErasing as its loader calls it, which the
official recipe uses (arXiv 1708.04896): each image on its own, after
normalisation and after mixing; targets stay as they are.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from van_jax import errors
from van_jax.training import randomness

MODES = ("pixel", "rand", "const")
_ATTEMPTS = 10  # Then timm leaves the box out.


def with_own_key(
  erase: Callable[[jax.Array, jax.Array], jax.Array],
) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """Returns `(key, images) -> images` that draws from a stream of its own.

  Args:
    erase: `erase`, with its options bound; the key given is mixing's.
  """
  return lambda key, images: erase(randomness.stream(key, "erasing", 0), images)


def erase(
  key: jax.Array,
  images: jax.Array,
  *,
  probability: float = 0.25,
  mode: str = "pixel",
  count: int = 1,
  area: tuple[float, float] = (0.02, 1 / 3),
  min_aspect: float = 0.3,
) -> jax.Array:
  """Returns images [B, H, W, C], some of them with boxes filled.

  The options are static Python values; the rest may be traced. Every image
  has a key of its own, so that a batch that is spread over devices is erased
  where it lies.

  Args:
    key: [], typed random key.
    images: [B, H, W, C], floating point, normalised: noise is normal(0, 1).
    probability: that an image is erased; 0 draws nothing and costs nothing.
    mode: what fills a box: "pixel" (noise for each pixel and channel), "rand"
      (noise for each channel) or "const" (zeros).
    count: the most boxes an image; their number is uniform from 1 to it.
    area: lowest and highest, of all boxes together, as parts of the image's.
    min_aspect: lowest height / width of a box; the highest is its inverse.
  """
  _check_options(probability, mode, count, area, min_aspect)
  if not jnp.issubdtype(images.dtype, jnp.floating):
    raise errors.UserError(
      f"images are {images.dtype} and must be floating point to hold noise; "
      "normalise them first."
    )
  if probability == 0:
    return images

  def erase_one(key, image):
    box_key, noise_key = jax.random.split(key)
    boxes = draw_boxes(
      box_key,
      *image.shape[:2],
      probability=probability,
      count=count,
      area=area,
      min_aspect=min_aspect,
    )
    return _fill(noise_key, image, boxes, mode)

  return jax.vmap(erase_one)(jax.random.split(key, len(images)), images)


def draw_boxes(
  key: jax.Array,
  height: int,
  width: int,
  *,
  probability: float,
  count: int,
  area: tuple[float, float],
  min_aspect: float,
) -> jax.Array:
  """Returns an image's boxes (top, left, height, width), int32 [count, 4].

  A box that is not there has height and width 0.

  Args:
    key: [], typed random key.
    height: of the image, pixels.
    width: of the image, pixels.
    probability: see `erase`, as are the others.
    count: see `erase`.
    area: see `erase`.
    min_aspect: see `erase`.
  """
  any_key, count_key, *keys = jax.random.split(key, 2 + count)
  number = jax.random.randint(count_key, (), 1, count + 1)
  number *= jax.random.bernoulli(any_key, probability)
  boxes = [
    _draw_box(
      box_key,
      height,
      width,
      pixels=tuple(share * height * width for share in area),
      number=jnp.maximum(number, 1),
      min_aspect=min_aspect,
    )
    * (i < number)
    for i, box_key in enumerate(keys)
  ]
  return jnp.stack(boxes)


def _draw_box(
  key: jax.Array,
  height: int,
  width: int,
  *,
  pixels: tuple[float, ...],
  number: jax.Array,
  min_aspect: float,
) -> jax.Array:
  """Returns a box [4], the first of ten that is smaller than the image."""
  area_key, aspect_key, top_key, left_key = jax.random.split(key, 4)
  low, high = pixels
  area = jax.random.uniform(area_key, (_ATTEMPTS,), minval=low, maxval=high)
  area /= number
  log_aspect = jax.random.uniform(
    aspect_key,
    (_ATTEMPTS,),
    minval=math.log(min_aspect),
    maxval=-math.log(min_aspect),
  )
  aspect = jnp.exp(log_aspect)
  # Rounds half to even, as Python's round does.
  heights = jnp.round(jnp.sqrt(area * aspect)).astype(jnp.int32)
  widths = jnp.round(jnp.sqrt(area / aspect)).astype(jnp.int32)
  fits = (heights < height) & (widths < width)
  first = jnp.argmax(fits)  # 0 if none fits.
  box_height = jnp.where(fits[first], heights[first], 0)
  box_width = jnp.where(fits[first], widths[first], 0)
  top = jax.random.randint(top_key, (), 0, height - box_height + 1)
  left = jax.random.randint(left_key, (), 0, width - box_width + 1)
  return jnp.stack([top, left, box_height, box_width])


def _fill(
  key: jax.Array, image: jax.Array, boxes: jax.Array, mode: str
) -> jax.Array:
  """Returns an image [H, W, C] with its boxes [N, 4] filled."""
  H, W, C = image.shape
  count = len(boxes)
  if mode == "pixel":  # Boxes may share it: where they meet, one is seen.
    noise = jax.random.normal(key, (H, W, C), image.dtype)
    fills = [noise] * count
  elif mode == "rand":
    fills = list(jax.random.normal(key, (count, 1, 1, C), image.dtype))
  else:
    fills = [jnp.zeros((1, 1, C), image.dtype)] * count
  rows, columns = jnp.arange(H), jnp.arange(W)
  for box, fill in zip(boxes, fills, strict=True):
    top, left, height, width = box
    in_rows = (rows >= top) & (rows < top + height)
    in_columns = (columns >= left) & (columns < left + width)
    inside = in_rows[:, None, None] & in_columns[None, :, None]
    image = jnp.where(inside, fill, image)
  return image


def _check_options(
  probability: float,
  mode: str,
  count: Any,
  area: tuple[float, float],
  min_aspect: float,
) -> None:
  """Raises UserError for options outside of their ranges."""
  if not 0 <= probability <= 1:
    raise errors.UserError(
      f"erasing.probability={probability} must be a probability, in [0, 1]; "
      "0 turns erasing off."
    )
  if mode not in MODES:
    raise errors.UserError(
      f"erasing.mode={mode!r} must be one of {', '.join(MODES)}; the official "
      "recipe uses pixel."
    )
  if not isinstance(count, int) or isinstance(count, bool) or count < 1:
    raise errors.UserError(
      f"erasing.count={count!r} must be a whole number, at least 1; for no "
      "box set erasing.probability=0."
    )
  if len(area) != 2 or not 0 < area[0] <= area[1] <= 1:
    raise errors.UserError(
      f"erasing.area={tuple(area)} must be the lowest and the highest part of "
      "an image's area, 0 < lowest <= highest <= 1."
    )
  if not 0 < min_aspect <= 1:
    raise errors.UserError(
      f"erasing.min_aspect={min_aspect} must be in (0, 1]; the highest aspect "
      "is its inverse."
    )
