"""Functions of single pixels of upsampled maps, which never exist whole.

At 512x512 with 150 classes the float32 logits of 16 images are 2.5 GB, and a
softmax with its gradient has several such. Here they are made, used and left
band by band of rows; for a gradient each band is made again.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from van_jax.ops import bilinear

# Of the upsampled float32 values of one image in one band.
BAND_BYTES = 8 << 20


class View(NamedTuple):
  """What a network said of a batch of images in one of their sizes.

  Attributes:
    logits: [B, h, w, K], of a size of their own, at stride 4 say.
    size: (height, width) that the network saw. Logits go there before they go
      to the labels' sizes, as in mmsegmentation: two resizes, not one.
  """

  logits: jax.Array
  size: tuple[int, int]


def map_pixels(
  function: Callable[..., Any],
  views: Sequence[View],
  shape: tuple[int, int],
  *arrays: jax.Array,
  sizes: jax.Array | None = None,
) -> Any:
  """Returns a function's values at all pixels, a tree of [B, *shape].

  Args:
    function: `(logits float32 [B, n, W, K], *parts [B, n, W]) -> tree of
      [B, n, W]`, of each pixel by itself, for a band of n rows. Of several
      views the logits are the logarithm of their mean softmax, as
      mmsegmentation averages.
    views: of the same images; at least one.
    shape: (H, W) of what is returned.
    *arrays: [B, *shape] each; a band's part of them is handed over.
    sizes: [B, 2] whole numbers, the (height, width) that each image's logits
      are resized to, from the top left of `shape` on; None for `shape`.
  """
  height, width = shape
  n, bands = _bands(views, shape, sizes)
  readers = [_reader(view, shape, sizes, n, bands) for view in views]

  def band(start, *parts):
    return function(_together([read(start) for read in readers]), *parts)

  if bands == 1:
    return band(0, *arrays)

  def cut(x):  # [B, H, W] -> [bands, B, n, W]
    x = jnp.pad(x, [(0, 0), (0, bands * n - height), (0, 0)])
    return jnp.moveaxis(x.reshape(len(x), bands, n, width), 1, 0)

  def join(x):
    x = jnp.moveaxis(x, 0, 1)
    return x.reshape(len(x), bands * n, width)[:, :height]

  # Bands are a loop's, where nothing can be merged into what it recomputes.
  remade = jax.checkpoint(band, prevent_cse=False)
  starts = n * jnp.arange(bands)
  values = lax.map(lambda part: remade(*part), (starts, *map(cut, arrays)))
  return jax.tree.map(join, values)


def class_map(
  views: Sequence[View], shape: tuple[int, int], sizes: jax.Array
) -> jax.Array:
  """Returns the likeliest class of each pixel, int32 [B, *shape].

  Args:
    views: of the same images; see `map_pixels`.
    shape: (H, W) of the largest.
    sizes: int32 [B, 2], each image's own (height, width), at the top left;
      what lies beyond means nothing.
  """
  return map_pixels(likeliest, views, shape, sizes=sizes)


def likeliest(logits: jax.Array) -> jax.Array:
  """Returns the class of the highest logit, int32 [...].

  Of equal ones the lower class; K, which is none, where a logit is NaN.

  Args:
    logits: [..., K].
  """
  # Not isnan(max(...)): compiled after a product of matrices, XLA's maximum on
  # CPUs (jax 0.10.2) passes over NaNs.
  bad = jnp.any(jnp.isnan(logits), axis=-1)
  best = jnp.argmax(logits, axis=-1).astype(jnp.int32)
  return jnp.where(bad, logits.shape[-1], best)


def _together(views: Sequence[jax.Array]) -> jax.Array:
  """Returns one view's logits, or the logarithm of the views' mean softmax."""
  if len(views) == 1:
    return views[0]
  # In logarithms: a probability below float32's would be 0, its loss infinite.
  total = functools.reduce(jnp.logaddexp, map(jax.nn.log_softmax, views))
  return total - math.log(len(views))


def _bands(views, shape, sizes) -> tuple[int, int]:
  """Returns the rows of a band, and how many bands there are."""
  height, width = shape
  row_bytes = width * views[0].logits.shape[-1] * 4
  step = math.lcm(*(_multiples(view, shape, sizes)[0] for view in views))
  bands = min(math.ceil(height * row_bytes / BAND_BYTES), height // step)
  n = step * math.ceil(height / step / max(bands, 1))
  return n, math.ceil(height / n)


def _multiples(view: View, shape, sizes) -> tuple[int, int]:
  """Returns how much larger `shape` is, down and across; 1, 1 if not wholly."""
  down, below = divmod(shape[0], view.logits.shape[1])
  across, beside = divmod(shape[1], view.logits.shape[2])
  if sizes is not None or view.size != shape or below or beside:
    return 1, 1
  return down, across


def _reader(view: View, shape, sizes, n: int, bands: int):
  """Returns `start -> logits [B, n, W, K]`, n rows from there on."""
  logits = view.logits.astype(jnp.float32)
  down, across = _multiples(view, shape, sizes)
  if (down, across) != (1, 1):
    more = bands * n // down - logits.shape[1]
    padded = bilinear.with_neighbours(logits, 1, more=more)

    def enlarged(start):
      part = lax.dynamic_slice_in_dim(
        padded, start // down, n // down + 2, axis=1
      )
      part = bilinear.enlarged(part, 1, down)
      return bilinear.enlarged(bilinear.with_neighbours(part, 2), 2, across)

    return enlarged

  new = shape if sizes is None else (sizes[:, :1], sizes[:, 1:])

  def matrix(axis, index):
    index = index if sizes is None else index[None]
    return _weights(logits.shape[1 + axis], view.size[axis], index, new[axis])

  columns = matrix(1, jnp.arange(shape[1]))

  def sampled(start):
    rows = matrix(0, start + jnp.arange(n))
    return bilinear.columns(columns, bilinear.rows(rows, logits))

  return sampled


def _weights(size: int, seen: int, index: jax.Array, new: jax.Array | int):
  """Returns the weights of two resizes: to what was seen, then to new sizes."""
  second = bilinear.weights(index, seen, new)
  if size == seen:
    return second
  first = bilinear.axis_weights(size, seen)
  return jnp.matmul(second, first, precision=bilinear.EXACT)
