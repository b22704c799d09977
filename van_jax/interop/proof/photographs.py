"""Real photographs to compare models on: a user's, or some that are at hand."""

import io
import os
from importlib import resources

from etils import epath
from PIL import Image

from van_jax import errors, storage

_SUFFIXES = (".jpg", ".jpeg", ".png")


def read(folder: str | os.PathLike[str] | None) -> dict[str, bytes]:
  """Returns encoded images by name.

  Args:
    folder: all JPEG and PNG files below it; None for the two photographs that
      scikit-learn ships, whole and in quarters.

  Raises:
    UserError: if there are none, or one cannot be read.
  """
  if folder is None:
    return _built_in()
  folder = storage.absolute(folder)
  paths = sorted(
    parent / name
    for parent, _, names in folder.walk()
    for name in names
    if name.lower().endswith(_SUFFIXES)
  )
  if not paths:
    raise errors.UserError(
      f"images={folder} has no {', '.join(_SUFFIXES)} files; give a folder of "
      "photographs, or none for the built-in ones."
    )
  return {str(path.relative_to(folder)): _checked(path) for path in paths}


def _checked(path: epath.Path) -> bytes:
  """Returns a file's bytes, having decoded them."""
  encoded = path.read_bytes()
  try:
    with Image.open(io.BytesIO(encoded)) as image:
      image.load()
  except (OSError, Image.DecompressionBombError) as error:
    raise errors.UserError(
      f"{path} cannot be read as an image: {error}; remove it, or name another "
      "folder."
    ) from error
  return encoded


def _built_in() -> dict[str, bytes]:
  images = {}
  for name in ("china.jpg", "flower.jpg"):
    file = resources.files("sklearn.datasets.images") / name
    images[name] = file.read_bytes()
    images |= _quarters(name, images[name])
  return images


def _quarters(name: str, encoded: bytes) -> dict[str, bytes]:
  """Returns the four quarters of an image, as PNG: nothing is lost again."""
  image = Image.open(io.BytesIO(encoded))
  width, height = image.size
  quarters = {}
  for row in (0, 1):
    for column in (0, 1):
      left, top = column * width // 2, row * height // 2
      box = (left, top, left + width // 2, top + height // 2)
      png = io.BytesIO()
      image.crop(box).save(png, "png", icc_profile=None)
      quarters[f"{name} quarter {row}{column}"] = png.getvalue()
  return quarters
