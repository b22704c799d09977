"""A split whose images are pixels in memory already, as notebooks have them."""

from __future__ import annotations

import dataclasses
import functools
import zlib
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.data.sources.split import IndexedSplit
from van_jax.data.tensorflow import tf


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PixelSplit(IndexedSplit):
  """Examples that are rows of two arrays; `checked` makes it.

  Attributes:
    title: for messages.
    images: uint8 [N, H, W, C], C = 1 (grey) or 3.
    labels: int32 [N].
    class_names: of the labels.
  """

  title: str
  images: np.ndarray
  labels: np.ndarray
  class_names: tuple[str, ...] = ()

  @property
  def size(self) -> int:
    """Number of examples."""
    return len(self.images)

  @functools.cached_property
  def _tensors(self) -> tuple[Any, Any]:
    with tf.init_scope():  # Out of any graph: it would hold a copy.
      return tf.convert_to_tensor(self.images), tf.constant(self.labels)

  def fetch(self, handle: Any) -> dict[str, Any]:
    """Encodes an image, losslessly: all sources then share one decoder.

    Without compression it costs what copying the pixels costs.
    """
    images, labels = self._tensors
    encoded = tf.io.encode_png(images[handle], compression=0)
    return {"image": encoded, "label": labels[handle]}

  def checksum(self) -> int:
    """Returns the CRC-32 of images and labels."""
    images = np.ascontiguousarray(self.images)
    return zlib.crc32(self.labels.data, zlib.crc32(images.data))


def checked(
  images: Any,
  labels: Any,
  *,
  title: str,
  class_names: tuple[str, ...] | None = None,
  num_classes: int | None = None,
) -> PixelSplit:
  """Returns the split of two arrays.

  Args:
    images: uint8 [N, H, W, 3], [N, H, W, 1] or [N, H, W], of 0 to 255.
    labels: integers [N], from 0 to K - 1.
    title: for messages: what the arrays are for.
    class_names: [K]; None for the numbers.
    num_classes: K, where there are no names; None for what the labels show.

  Raises:
    UserError: where they are something else.
  """
  images = _array(images, f"{title}: images")
  labels = _array(labels, f"{title}: labels")
  _check_images(images, title)
  _check_labels(labels, len(images), title)
  if class_names is None:
    shown = int(labels.max()) + 1 if num_classes is None else num_classes
    class_names = tuple(map(str, range(shown)))
  low, high = int(labels.min()), int(labels.max())
  if low < 0 or high >= len(class_names):
    raise errors.UserError(
      f"{title}: labels are from {low} to {high} and must be from 0 to "
      f"{len(class_names) - 1}, as there are {len(class_names)} classes; "
      "renumber them, or say the right number of classes."
    )
  return PixelSplit(
    title=title,
    images=images if images.ndim == 4 else images[..., None],
    labels=labels.astype(np.int32),
    class_names=tuple(class_names),
  )


def _array(given: Any, what: str) -> np.ndarray:
  try:
    return np.asarray(given)
  except ValueError as error:
    raise errors.UserError(
      f"{what} must be one array, and are of several shapes; resize or crop "
      "images to one, or name a folder of class folders."
    ) from error


def _check_images(images: np.ndarray, title: str) -> None:
  shape, hint = images.shape, ""
  is_one = images.ndim == 3 and shape[2] in (1, 3)  # No row of grey ones.
  if is_one:
    hint = "; images[None] makes one of a single image"
  if images.ndim == 4 and shape[1] in (1, 3):
    hint = "; np.moveaxis(images, 1, -1) makes them so"
  if (
    is_one
    or images.ndim not in (3, 4)
    or (images.ndim == 4 and shape[3] not in (1, 3))
  ):
    raise errors.UserError(
      f"{title}: images.shape={shape} must be [N, H, W, 3], [N, H, W, 1] or "
      f"[N, H, W]{hint}."
    )
  if not images.size:
    raise errors.UserError(
      f"{title}: images.shape={shape} must not be empty; give some images."
    )
  if images.dtype != np.uint8:
    raise errors.UserError(
      f"{title}: images.dtype={images.dtype} must be uint8, pixels of 0 to "
      f"255, not normalised{_as_pixels(images)}."
    )


def _as_pixels(images: np.ndarray) -> str:
  """Returns how to make pixels of these, where their values tell."""
  if images.dtype.kind not in "iuf":
    return ""
  low, high = images.min(), images.max()
  if low < 0 or not high <= 255:  # Or NaN.
    return f"; these are from {low:.3g} to {high:.3g}: give them as they were"
  if images.dtype.kind == "f" and high <= 1:
    return "; np.round(255 * images).astype(np.uint8) makes them so"
  return "; np.round(images).astype(np.uint8) makes them so"


def _check_labels(labels: np.ndarray, count: int, title: str) -> None:
  if labels.shape != (count,):
    hint = ""
    if labels.shape == (count, 1):
      hint = "; labels[:, 0] is"
    elif labels.ndim == 2 and len(labels) == count:
      hint = "; np.argmax(labels, -1) makes numbers of one-hot rows"
    raise errors.UserError(
      f"{title}: labels.shape={labels.shape} must be ({count},), one number an "
      f"image{hint}."
    )
  if not np.issubdtype(labels.dtype, np.integer):
    raise errors.UserError(
      f"{title}: labels.dtype={labels.dtype} must be integers, from 0 on; "
      "np.unique(labels, return_inverse=True) gives names and numbers."
    )
