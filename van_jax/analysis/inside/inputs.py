"""The images that a model is looked at with: what they must be, in batches."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from van_jax import errors

# Normalised images have negative values, and none near this: white is 2.6 with
# ImageNet's mean and standard deviation.
_PIXELS = 50


def checked(images: Any) -> np.ndarray:
  """Returns images as an array.

  Args:
    images: that should be normalised, [B, H, W, 3].

  Raises:
    UserError: if they are not floating [B, H, W, C], not finite, or pixels from
      0 to 255.
  """
  images = np.asarray(images)
  if images.ndim != 4 or not jnp.issubdtype(images.dtype, jnp.floating):
    raise errors.UserError(
      f"images of shape {images.shape} and dtype {images.dtype} must be "
      "floating [B, H, W, 3]; normalise them, and add the missing axes."
    )
  finite = np.isfinite(images).all((1, 2, 3))
  if not finite.all():
    raise errors.UserError(
      f"images[{int(np.argmin(finite))}] has values that are NaN or infinite, "
      "of which nothing can be told; leave it out."
    )
  if images.size and images.min() >= 0 and images.max() > _PIXELS:
    raise errors.UserError(
      f"images go from {images.min():g} to {images.max():g}, as pixels do, and "
      "must be normalised: (images / 255 - mean) / std, with the mean and std "
      "of the weights' preprocessing."
    )
  return images


def batches(images: Any, size: int) -> Iterator[jax.Array]:
  """Yields images, so many at once; the last ones may be fewer.

  Args:
    images: [N, H, W, 3], checked.
    size: images of a batch.

  Raises:
    UserError: if there is none, or the size is below 1.
  """
  if not len(images) or size < 1:
    raise errors.UserError(
      f"the {len(images)} images and batch_size={size} must be at least one."
    )
  for start in range(0, len(images), size):
    yield jnp.asarray(images[start : start + size])
