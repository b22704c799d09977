"""What is wrong with an image and its mask, once the image can be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from van_jax import errors
from van_jax.data.images import masks, reading
from van_jax.data.mask_numbering import MaskNumbering


def examiner(
  numbering: MaskNumbering, *, exif_rotation: bool
) -> Callable[[dict[str, Any]], str | None]:
  """Returns the function from an example's parts to a reason, or None.

  Args:
    numbering: of the masks.
    exif_rotation: whether images are turned as their EXIF data say.
  """

  def examine(parts):
    image, encoded = (parts[key].numpy() for key in ("image", "label"))
    try:
      mask = masks.read(encoded)
    except errors.UserError as error:
      return f"its mask cannot be read ({len(encoded)} bytes): {error}"
    size = reading.size(image, exif_rotation=exif_rotation)
    reason = mismatch(size, mask.shape, image, exif_rotation=exif_rotation)
    return reason or numbering.complaint(mask)

  return examine


def mismatch(
  image_size: tuple[int, ...],
  mask_size: tuple[int, ...],
  image: bytes,
  *,
  exif_rotation: bool,
) -> str | None:
  """Returns how the (height, width) of image and mask differ, or None.

  Args:
    image_size: of the image, turned if it is.
    mask_size: of the mask as it is written.
    image: encoded.
    exif_rotation: whether the image is turned as its EXIF data say.
  """
  if tuple(image_size) == tuple(mask_size):
    return None
  hint = ""
  if image_size == mask_size[::-1] and not reading.is_upright(image):
    hint = "; its EXIF data turn it, for data.exif_rotation=True"
    if exif_rotation:
      hint = (
        "; its EXIF data turn it, and the mask is of the image as it is "
        "written, for data.exif_rotation=False"
      )
  (H, W), (h, w) = image_size, mask_size
  return (
    f"the image has {W} x {H} pixels and its mask {w} x {h}, and both must "
    f"have as many{hint}"
  )
