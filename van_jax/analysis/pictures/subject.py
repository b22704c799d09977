"""What a picture is of: weights, and images as they see them."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from van_jax import bundle as bundle_lib, errors, models, released, storage
from van_jax.analysis import drawing
from van_jax.analysis.drawing import canvas
from van_jax.data import formats
from van_jax.data.images import normalization, preprocessing
from van_jax.experiment import weights
from van_jax.models.attention import table as attention_table
from van_jax.models.heads import table as head_table

_CHOICES = (attention_table.CHOICE, head_table.HEAD, head_table.AUXILIARY)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
  """What a picture command is told; all of it is checked before it computes.

  Attributes:
    checkpoint: a bundle's folder, a training workdir, or a released name.
    output: a file, .png, .svg or .pdf.
    step: of a workdir: "latest", "best", or a number.
    attention: a stranger's attention, MODULE:CLASS, which a file's name alone
      does not import.
    head: likewise of a segmenter's head.
    auxiliary: likewise of its auxiliary head.
    overwrite: whether `output` may be there already.
    image_size: pixels a side of what the network sees; None for what the
      weights were trained for.
  """

  checkpoint: str
  output: str
  step: str = "latest"
  attention: str | None = None
  head: str | None = None
  auxiliary: str | None = None
  overwrite: bool = False
  image_size: int | None = None

  def load(self) -> bundle_lib.Bundle[models.VAN]:
    """Returns a VAN's weights, once the output is known to be writable."""
    bundle = self._load()
    bundle_lib.check_of_van(bundle, "this picture")
    if self.image_size is None:
      return bundle
    changed = {"image_size": self.image_size, "resize_size": self.image_size}
    return dataclasses.replace(
      bundle, preprocessing=bundle.preprocessing.replace(**changed)
    )

  def load_segmenter(self) -> bundle_lib.Bundle[models.Segmenter]:
    """Returns a segmenter's weights, likewise."""
    bundle = self._load()
    if not isinstance(bundle.model, models.Segmenter):
      raise errors.UserError(
        f"checkpoint={self.checkpoint} holds no segmenter, and masks are what "
        "segmenters give; name one, or python -m van_jax.analysis.gradcam for "
        "a picture of where a classifier looks."
      )
    return bundle

  def _load(self) -> bundle_lib.Bundle[Any]:
    canvas.check_output(self.output, overwrite=self.overwrite)
    handed: dict[str, Any] = {
      choice.field: choice.module_class(name)
      for choice in _CHOICES
      if (name := getattr(self, choice.field))
    }
    return weights.load_weights(
      released.local_bundle(self.checkpoint),
      step=self.step,
      **handed,
    )

  def finish(self, figure: Any, **found: Any) -> dict[str, Any]:
    """Writes the figure, and returns what the command's last line says."""
    drawing.save(figure, self.output)
    return {"output": self.output, **found}


@dataclasses.dataclass(frozen=True)
class Images:
  """Images of a command.

  Attributes:
    names: N file names.
    pixels: uint8 [N, H, W, 3], as the network sees them.
    normalised: float32 [N, H, W, 3], as it gets them.
  """

  names: list[str]
  pixels: np.ndarray
  normalised: np.ndarray


def read_images(
  paths: Sequence[str], shown: preprocessing.Preprocessing, *, most: int
) -> Images:
  """Returns the images of files and folders, prepared as in evaluation.

  Args:
    paths: of files, or of folders, whose images are taken by name.
    shown: what the weights expect.
    most: images that are taken, the first.

  Raises:
    UserError: where there is none, or one cannot be read.
  """
  files = image_files(paths, most=most)
  pixels = np.stack([preprocessing.preprocess_image(f, shown) for f in files])
  normalised = normalization.normalize(
    jnp.asarray(pixels), mean=shown.mean, std=shown.std
  )
  names = [os.path.basename(file) for file in files]
  return Images(names, pixels, np.asarray(normalised))


def image_files(paths: Sequence[str], *, most: int) -> list[str]:
  """Returns the paths of images in files and folders.

  Args:
    paths: of files, or of folders, whose images are taken by name.
    most: images that are taken, the first.

  Raises:
    UserError: where there is none.
  """
  if most < 1:
    raise errors.UserError(f"count={most} must be at least 1.")
  files = [file for path in paths for file in _files(path)][:most]
  if not files:
    raise errors.UserError("image is missing; name a file or a folder of some.")
  return files


def class_name(bundle: bundle_lib.Bundle, number: int) -> str:
  """Returns the first synonym of a class's name, or its number."""
  if bundle.labels is None:
    return f"class {number}"
  return bundle.labels[number].split(",")[0].strip()


def _files(path: str) -> list[str]:
  place = storage.absolute(path)
  if not place.is_dir():
    return [os.fspath(path)]
  inside = (
    p for p in place.iterdir() if p.suffix.lower() in formats.EXTENSIONS
  )
  found = sorted(os.fspath(p) for p in inside)
  if not found:
    raise errors.UserError(
      f"image={path} is a folder without images; they end with "
      f"{', '.join(formats.EXTENSIONS)}."
    )
  return found
