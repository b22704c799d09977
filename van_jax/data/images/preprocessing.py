"""How an image becomes a network's input: the description, and PIL's way.

The same pixels, bit for bit, come out of `centre_crop.py` (for whole data
sets); this way needs PIL only and serves single images, notebooks and tests.
"""

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from van_jax import errors, storage
from van_jax.data import arguments
from van_jax.data.images import reading

_FILTERS = {
  "bilinear": Image.Resampling.BILINEAR,
  "bicubic": Image.Resampling.BICUBIC,
  "lanczos": Image.Resampling.LANCZOS,
}
INTERPOLATIONS = tuple(_FILTERS)
RESIZE_MODES = ("short_side", "warp")
AnImage = str | os.PathLike[str] | Image.Image | np.ndarray
_LATER = {"exif_rotation"}  # Fields that earlier versions do not write.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preprocessing:
  """What one set of weights expects of an image; it belongs to the weights.

  The values are those of the official weights where none are given.

  Attributes:
    image_size: pixels a side of the square that the network sees, >= 32.
    resize_mode: "short_side" keeps the aspect ratio and brings the shorter
      side to `resize_size`; "warp" brings both sides to it.
    resize_size: pixels, >= image_size; the centre crop takes what is over.
    interpolation: "bicubic", "bilinear" or "lanczos", antialiased as PIL's.
    mean: of each channel (r, g, b), of [0, 1] pixels.
    std: of each channel (r, g, b), of [0, 1] pixels.
    exif_rotation: whether an image is turned as its EXIF data say. A run has
      it from `data.exif_rotation`, for its training images too.
    crop_pct: says `resize_size` as timm does, and is not kept:
      floor(image_size / crop_pct). None for what `resize_size` says.
  """

  image_size: int = 224
  resize_mode: str = "short_side"
  resize_size: int = 248  # floor(224 / 0.9).
  interpolation: str = "bicubic"
  mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
  std: tuple[float, float, float] = (0.5, 0.5, 0.5)
  exif_rotation: bool = False
  crop_pct: dataclasses.InitVar[float | None] = None

  def __post_init__(self, crop_pct: float | None):
    arguments.check_image_size(self.image_size, "Preprocessing.image_size")
    if crop_pct is not None:
      size = _before_crop(self.image_size, crop_pct)
      object.__setattr__(self, "resize_size", size)
    arguments.check_choice(
      self.resize_mode, RESIZE_MODES, "Preprocessing.resize_mode"
    )
    arguments.check_choice(
      self.interpolation, INTERPOLATIONS, "Preprocessing.interpolation"
    )
    if (
      not arguments.is_whole(self.resize_size)
      or self.resize_size < self.image_size
    ):
      raise errors.UserError(
        f"Preprocessing.resize_size={self.resize_size!r} must be a whole "
        f"number of pixels, at least image_size={self.image_size}; the centre "
        f"crop cuts image_size out of it."
      )
    for name in ("mean", "std"):
      values = arguments.channels(getattr(self, name), f"Preprocessing.{name}")
      object.__setattr__(self, name, values)
    arguments.check_std(self.std, "Preprocessing.std")
    arguments.check_bool(self.exif_rotation, "Preprocessing.exif_rotation")

  def resized(self, height: int, width: int) -> tuple[int, int]:
    """Returns an image's size before the crop, (height, width)."""
    if self.resize_mode == "warp":
      return self.resize_size, self.resize_size
    short = min(height, width)
    # The long side is rounded down, as torchvision and timm do.
    return (
      height * self.resize_size // short,
      width * self.resize_size // short,
    )

  def replace(self, **changes: Any) -> "Preprocessing":
    """Returns these with some fields changed; `crop_pct` is one.

    Raises:
      UserError: on a field that there is not, a value that cannot be, or both
        ways of saying the size before the crop.
    """
    names = [field.name for field in dataclasses.fields(self)] + ["crop_pct"]
    for name in changes:
      if name not in names:
        raise errors.UserError(
          f"preprocessing.{name} is none of {', '.join(names)}."
        )
    if changes.get("crop_pct") is not None and "resize_size" in changes:
      raise errors.UserError(
        f"crop_pct={changes['crop_pct']} and resize_size="
        f"{changes['resize_size']} both say the size before the crop; leave "
        "one of the two out."
      )
    return dataclasses.replace(self, **changes)

  def to_json(self) -> dict[str, Any]:
    """Returns the fields as plain JSON values."""
    fields = dataclasses.asdict(self)
    if not self.exif_rotation:
      del fields["exif_rotation"]  # Earlier versions know no such field.
    return fields | {"mean": list(self.mean), "std": list(self.std)}

  @classmethod
  def from_json(cls, fields: Mapping[str, Any]) -> "Preprocessing":
    """Inverts `to_json`; all fields but later ones must be there, no other."""
    names = {field.name for field in dataclasses.fields(cls)}
    if set(fields) | _LATER != names:
      raise errors.UserError(
        f"preprocessing has the fields {sorted(fields)}, and must have "
        f"exactly {sorted(names - _LATER)}, and may have {sorted(_LATER)}."
      )
    return cls(**fields)


def preprocess_image(
  image: AnImage,
  preprocessing: Preprocessing,
) -> np.ndarray:
  """Resizes and crops one image with PIL, to uint8 [image_size, image_size, 3].

  Args:
    image: a PIL image, the path of a file, or uint8 [H, W], [H, W, 1] or
      [H, W, 3]. Its colours and its rotation are taken as in evaluation, by
      `reading.py`.
    preprocessing: what the weights expect. Its mean and std are NOT applied.

  Raises:
    UserError: what cannot be read, and why.
  """
  rgb = rgb_of(image, exif_rotation=preprocessing.exif_rotation)
  width, height = rgb.size
  new_height, new_width = preprocessing.resized(height, width)
  # Two calls, width first: in one, Pillow 13 chooses the order by the sizes
  # (up to 24 levels apart); those before it, and the published scores, did not.
  resample = _FILTERS[preprocessing.interpolation]
  rgb = rgb.resize((new_width, height), resample)
  rgb = rgb.resize((new_width, new_height), resample)
  size = preprocessing.image_size
  top, left = round((new_height - size) / 2), round((new_width - size) / 2)
  return np.asarray(rgb.crop((left, top, left + size, top + size)))


def rgb_of(image: AnImage, *, exif_rotation: bool) -> Image.Image:
  """Returns an image in mode RGB; see `preprocess_image`."""
  if isinstance(image, Image.Image):
    try:
      return reading.to_rgb(image, exif_rotation=exif_rotation)
    except (errors.UserError, OSError, SyntaxError) as error:
      # A damaged file that is read only now.
      raise errors.UserError(f"the image cannot be read: {error}.") from error
  if isinstance(image, np.ndarray):
    return _from_array(image).convert("RGB")
  if isinstance(image, str | os.PathLike):
    return _read_file(image, exif_rotation)
  raise errors.UserError(
    f"image is of type {type(image).__name__}, and must be a path, a PIL "
    "image or a NumPy array."
  )


def _read_file(path: str | os.PathLike, exif_rotation: bool) -> Image.Image:
  name = os.fspath(path)
  try:
    encoded = storage.absolute(path).read_bytes()
  except OSError as error:
    raise errors.UserError(
      f"{name} cannot be read: {error.strerror or error}; name a file that "
      "you may read."
    ) from error
  try:
    return reading.read(encoded, exif_rotation=exif_rotation)
  except errors.UserError as error:
    raise errors.UserError(
      f"{reading.unreadable(name, len(encoded), str(error))}."
    ) from error


def _from_array(image: np.ndarray) -> Image.Image:
  if image.dtype != np.uint8:
    raise errors.UserError(
      f"image.dtype={image.dtype} must be uint8, pixels of 0 to 255; "
      f"[0, 1] pixels are scaled by np.round(255 * image).astype(np.uint8)."
    )
  if image.ndim == 3 and image.shape[-1] == 1:
    image = image[..., 0]
  colours = image.ndim == 3 and image.shape[2] == 3
  if not (image.ndim == 2 or colours) or not image.size:
    raise errors.UserError(
      f"image.shape={image.shape} must be [H, W], [H, W, 1] or [H, W, 3], and "
      "not empty."
    )
  return Image.fromarray(image)


def _before_crop(image_size: int, crop_pct: float) -> int:
  """Returns the size before the crop, rounded as by timm 0.4.12 and 1.0."""
  number = isinstance(crop_pct, int | float) and not isinstance(crop_pct, bool)
  if not number or not 0 < crop_pct <= 1:
    raise errors.UserError(
      f"Preprocessing.crop_pct={crop_pct!r} must be above 0 and at most 1; it "
      "is the part of the resized image's side that the centre crop keeps."
    )
  return math.floor(image_size / crop_pct)
