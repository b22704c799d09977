"""A pixel's contribution to a class: what hiding it takes away."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from van_jax import errors
from van_jax.analysis.inside import classes as classes_lib, inputs, probe


def occlusion(
  model: nn.Module,
  variables: Any,
  images: Any,
  *,
  classes: Any = None,
  patch: int = 32,
  stride: int = 16,
  fill: float = 0.0,
  batch_size: int = 32,
) -> np.ndarray:
  """Returns what each pixel contributes to a class, [B, H, W] float32.

  A square patch slides over the image (arXiv:1311.2901, Section 4.2), and the
  class's softmax probability falls by p(image) - p(image with the patch). A
  pixel gets the mean of that over the patches which cover it: positive where
  hiding it hurts the class, negative where it helps. The last patch of a row or
  a column is at the edge, however far it is from the one before.

  Args:
    model: gives logits, [B, K]; of a dense head, [B, H, W, K], they are meant
      over positions first.
    variables: of the model.
    images: [B, H, W, 3], normalised.
    classes: one for all images, or one an image; None for the likeliest of the
      whole image.
    patch: pixels a side.
    stride: pixels from a patch to the next; at most `patch`, or pixels between
      would be hidden by none.
    fill: what the patch shows, of normalised pixels; 0 is the mean colour.
    batch_size: hidden images at once.

  Raises:
    UserError: for sizes that do not fit the image, a class that there is not,
      or images that are not normalised [B, H, W, 3].
  """
  images = jnp.asarray(inputs.checked(images))
  sizes = images.shape[1:3]
  whole = all(isinstance(n, int | np.integer) for n in (patch, stride))
  if not (whole and 1 <= stride <= patch <= min(sizes)) or batch_size < 1:
    raise errors.UserError(
      f"patch={patch} and stride={stride} must be whole pixels with 1 <= "
      f"stride <= patch <= {min(sizes)}, the image's side, and "
      f"batch_size={batch_size} at least 1."
    )
  chosen = classes_lib.chosen(classes, model, variables, images)
  run = functools.partial(_probabilities, model, patch, variables)
  unhidden = run(images, jnp.full((len(images), 2), -patch), fill)
  chosen = np.where(
    chosen == classes_lib.PREDICTED, np.argmax(unhidden, axis=1), chosen
  )
  corners = [
    (top, left)
    for top in _starts(sizes[0], patch, stride)
    for left in _starts(sizes[1], patch, stride)
  ]
  result = np.zeros((len(images), *sizes), np.float32)
  for i, number in enumerate(chosen):
    hidden = [
      np.asarray(run(*batch, fill))[:, number]
      for batch in _batches(images[i], corners, batch_size)
    ]
    falls = float(unhidden[i, number]) - np.concatenate(hidden)[: len(corners)]
    result[i] = _mean_over_patches(falls, corners, patch, sizes)
  return result


def _starts(length: int, patch: int, stride: int) -> list[int]:
  """Returns where patches begin along an axis; the last one ends with it."""
  return sorted({*range(0, length - patch, stride), length - patch})


def _batches(image: jax.Array, corners: list[tuple[int, int]], size: int):
  """Yields an image repeated, with as many corners; the last ones again."""
  repeated = jnp.broadcast_to(image, (size, *image.shape))
  for start in range(0, len(corners), size):
    batch = corners[start : start + size]
    yield repeated, jnp.asarray(batch + batch[-1:] * (size - len(batch)))


def _mean_over_patches(
  falls: np.ndarray,
  corners: list[tuple[int, int]],
  patch: int,
  sizes: tuple[int, ...],
) -> np.ndarray:
  """Returns each pixel's mean fall over the patches on it, [H, W]."""
  total, count = np.zeros(sizes), np.zeros(sizes)
  for fall, (top, left) in zip(falls, corners, strict=True):
    window = np.s_[top : top + patch, left : left + patch]
    total[window] += fall
    count[window] += 1
  return (total / count).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("model", "patch"))
def _probabilities(model, patch, variables, images, corners, fill) -> jax.Array:
  """Returns probabilities [B, K] of images that a patch each hides a part of.

  Corners are [B, 2] int32, first rows and columns; -patch hides nothing.
  """
  rows = jnp.arange(images.shape[1])[None, :, None]
  columns = jnp.arange(images.shape[2])[None, None, :]
  top, left = corners[:, 0, None, None], corners[:, 1, None, None]
  hidden = (rows >= top) & (rows < top + patch)
  hidden &= (columns >= left) & (columns < left + patch)
  shown = jnp.where(hidden[..., None], fill, images)
  return jax.nn.softmax(
    classes_lib.logits(probe.call(model, variables, shown)), axis=1
  )
