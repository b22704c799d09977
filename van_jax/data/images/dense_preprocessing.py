"""How a whole image becomes a dense network's input: resized, uncropped."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epy

from van_jax import errors
from van_jax.data import arguments
from van_jax.data.images import preprocessing

with epy.lazy_imports():  # It needs Numba.
  from van_jax.data.images.pixels import opencv


@dataclasses.dataclass(frozen=True, kw_only=True)
class DensePreprocessing:
  """What one set of weights expects of an image; it belongs to the weights.

  The values are the authors' for ADE20K where none are given. Resizing is
  linear as `cv2.resize` has it, without antialiasing.

  Attributes:
    scale: (long, short) pixels; an image is made as large as fits into both,
      its aspect kept. None leaves it as it is.
    multiple: of pixels, that both sides are then rounded up to; the image is
      resized once more, not padded.
    mean: of each channel (r, g, b), of [0, 1] pixels.
    std: of each channel (r, g, b), of [0, 1] pixels.
    exif_rotation: whether an image is turned as its EXIF data say.
  """

  scale: tuple[int, int] | None = (2048, 512)
  multiple: int = 32
  mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
  std: tuple[float, float, float] = (0.229, 0.224, 0.225)
  exif_rotation: bool = False

  def __post_init__(self):
    if self.scale is not None:
      object.__setattr__(self, "scale", tuple(self.scale))
      arguments.check_scale(self.scale, "DensePreprocessing.scale")
    arguments.check_whole("DensePreprocessing.multiple", self.multiple, 1)
    for name in ("mean", "std"):
      field = f"DensePreprocessing.{name}"
      values = arguments.channels(getattr(self, name), field)
      object.__setattr__(self, name, values)
    arguments.check_std(self.std, "DensePreprocessing.std")
    arguments.check_bool(self.exif_rotation, "DensePreprocessing.exif_rotation")

  def resized(
    self, height: int, width: int, ratio: float = 1.0
  ) -> tuple[int, int]:
    """Returns an image's (height, width) before it is rounded up.

    Args:
      height: of the image.
      width: of the image.
      ratio: of `scale`, or of the image where that is None; both sides of the
        product are cut to whole pixels, as by mmsegmentation.
    """
    sides = self.scale or (max(height, width), min(height, width))
    long, short = (max(int(side * ratio), 1) for side in sides)
    return opencv.scaled(height, width, long, short)

  def network_size(
    self, height: int, width: int, ratio: float = 1.0
  ) -> tuple[int, int]:
    """Returns the (height, width) that the network sees; see `resized`."""
    new_height, new_width = self.resized(height, width, ratio)
    up = self.multiple
    return -(-new_height // up) * up, -(-new_width // up) * up

  def complaint(
    self, height: int, width: int, ratio: float = 1.0
  ) -> str | None:
    """Returns why an image cannot be shown to the network; None if it can.

    Args:
      height: of the image.
      width: of the image.
      ratio: see `resized`.
    """
    seen = self.network_size(height, width, ratio)
    least = arguments.MIN_IMAGE_SIZE
    if min(seen) >= least:
      return None
    at = "" if ratio == 1 else f" at the ratio {ratio}"
    return (
      f"of an image of {width} x {height} pixels the network would see "
      f"{seen[1]} x {seen[0]}{at}, and must see {least} or more down and "
      f"across; set preprocessing.multiple={least}, which sides are rounded up "
      f"to and which is {self.multiple}"
      + (", or enlarge preprocessing.scale" if self.scale else "")
    )

  def replace(self, **changes: Any) -> "DensePreprocessing":
    """Returns these with some fields changed.

    Raises:
      UserError: on a field that there is not, or a value that cannot be.
    """
    names = [field.name for field in dataclasses.fields(self)]
    for name in changes:
      if name not in names:
        raise errors.UserError(
          f"preprocessing.{name} is none of {', '.join(names)}."
        )
    return dataclasses.replace(self, **changes)

  def to_json(self) -> dict[str, Any]:
    """Returns the fields as plain JSON values."""
    fields = dataclasses.asdict(self)
    return {
      k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()
    }

  @classmethod
  def from_json(cls, fields: Mapping[str, Any]) -> "DensePreprocessing":
    """Inverts `to_json`; all fields must be there, and no other."""
    names = {field.name for field in dataclasses.fields(cls)}
    if set(fields) != names:
      raise errors.UserError(
        f"preprocessing has the fields {sorted(fields)}, and must have "
        f"exactly {sorted(names)}."
      )
    return cls(**fields)


def preprocess_whole(
  image: preprocessing.AnImage,
  to: DensePreprocessing,
  *,
  ratio: float = 1.0,
) -> np.ndarray:
  """Resizes one image, to uint8 [h, w, 3], what the network sees of it.

  Args:
    image: a PIL image, the path of a file, or uint8 [H, W], [H, W, 1] or
      [H, W, 3].
    to: what the weights expect. Its mean and std are NOT applied.
    ratio: see `DensePreprocessing.resized`.

  Raises:
    UserError: what cannot be read, and why.
  """
  rgb = preprocessing.rgb_of(image, exif_rotation=to.exif_rotation)
  return resize_whole(np.array(rgb), to, ratio)


def resize_whole(
  pixels: np.ndarray, to: DensePreprocessing, ratio: float = 1.0
) -> np.ndarray:
  """Resizes an image, uint8 [H, W, 3], in the two steps of the authors.

  Args:
    pixels: of the image's own size.
    to: what the weights expect.
    ratio: see `DensePreprocessing.resized`.
  """
  H, W, _ = pixels.shape
  for size in (to.resized(H, W, ratio), to.network_size(H, W, ratio)):
    if size != pixels.shape[:2]:
      pixels = opencv.resize(pixels, *size)
  return pixels
