"""Masks as files: a grey PNG of 8 bits for each, as benchmark servers want."""

import io
import os

import numpy as np
from PIL import Image

from van_jax import errors, places, storage


def check_folder(path: str, name: str) -> None:
  """Raises UserError unless masks may be written into a folder; writes none.

  Args:
    path: of the folder, new or empty, as the user gave it.
    name: of the flag or argument that it was given for.
  """
  place = storage.absolute(path)
  if os.path.splitext(path)[1].lower() in (".csv", ".png", ".json"):
    raise errors.UserError(
      f"{name}={path} ends as a file does, and masks are a file an image; name "
      "a folder."
    )
  if place.exists() and not (place.is_dir() and not any(place.iterdir())):
    raise errors.UserError(
      f"{name}={path} is there, and must be a new or an empty folder: masks "
      "are written into it; name another."
    )
  places.check_writable(path, name, inside=True)


def write_mask(folder: str, stem: str, numbers: np.ndarray) -> None:
  """Writes FOLDER/STEM.png; folders that are missing are made.

  Args:
    folder: that `check_folder` passed.
    stem: of the file's name, perhaps with folders before it.
    numbers: uint8 [H, W].

  Raises:
    UserError: where it cannot be written.
  """
  content = io.BytesIO()
  Image.fromarray(numbers).save(content, format="PNG")
  path = storage.absolute(folder) / f"{stem}.png"
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.getvalue())
  except OSError as error:
    raise errors.UserError(
      f"{path} could not be written: {error.strerror or error}; free space, or "
      "name a folder on another disk. What was written before it stays."
    ) from error
