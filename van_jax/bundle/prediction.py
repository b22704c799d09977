"""From a bundle and photographs to the names of the likeliest classes."""

import functools
import os
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, NamedTuple, cast, overload

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from van_jax import errors
from van_jax.bundle.bundle import Bundle, check_of_van
from van_jax.data.images import normalization, preprocessing

AnImage = str | os.PathLike[str] | Image.Image | np.ndarray


class Prediction(NamedTuple):
  """One class and how likely it is.

  Attributes:
    label: the class's name.
    probability: of the softmax, over all classes.
    index: of the class, among the logits.
  """

  label: str
  probability: float
  index: int


@overload
def predict(
  bundle: Bundle,
  image: AnImage,
  *,
  top: int | None = None,
  batch_size: int = 32,
) -> list[Prediction]: ...


@overload
def predict(
  bundle: Bundle,
  image: Iterable[AnImage],
  *,
  top: int | None = None,
  batch_size: int = 32,
) -> list[list[Prediction]]: ...


def predict(
  bundle: Bundle,
  image: AnImage | Iterable[AnImage],
  *,
  top: int | None = None,
  batch_size: int = 32,
) -> list[Prediction] | list[list[Prediction]]:
  """Returns the likeliest classes of an image, the likeliest first.

    bundle = van_jax.load_bundle("bundles/van_b0")
    for label, probability, _ in van_jax.predict(bundle, "cat.jpg"):
      print(f"{probability:.1%} {label}")

  Args:
    bundle: whose own preprocessing the image gets.
    image: a file's path, a PIL image, or uint8 [H, W, 3]; or several of them,
      a list for one, of any sizes.
    top: how many classes; None for five, or all where there are fewer.
    batch_size: of several images, how many the model sees at once.

  Returns:
    the classes of the one image; of several, a list of such lists.

  Raises:
    UserError: if the bundle has no classes, or an image cannot be read.
  """
  top = _number(bundle, top)
  if batch_size < 1:
    raise errors.UserError(f"batch_size={batch_size} must be at least 1.")
  one = isinstance(image, str | os.PathLike | Image.Image | np.ndarray)
  if one or not isinstance(image, Iterable):
    return next(_predictions(bundle, [image], top, 1))
  return list(_predictions(bundle, image, top, batch_size))


def _number(bundle: Bundle, top: int | None) -> int:
  """Returns how many classes are asked for."""
  check_of_van(bundle, "a list of an image's classes")
  classes = bundle.model.num_classes
  if not classes:
    raise errors.UserError(
      "bundle.model.num_classes=0: these weights give features, not classes; "
      "fine-tune them, or load a bundle of a classifier."
    )
  if top is None:
    return min(5, classes)
  if not 1 <= top <= classes:
    raise errors.UserError(
      f"top={top} must be from 1 to num_classes={classes}."
    )
  return top


def _predictions(
  bundle: Bundle, images: Iterable[Any], top: int, batch_size: int
) -> Iterator[list[Prediction]]:
  classes = bundle.model.num_classes
  labels = bundle.labels or [f"class {i}" for i in range(classes)]
  shown = bundle.preprocessing
  run = _probabilities(cast(Hashable, bundle.model))
  pixels = (preprocessing.preprocess_image(image, shown) for image in images)
  for batch in _batches(pixels, batch_size):
    filled = _filled(batch, batch_size)
    rows = np.asarray(run(bundle.variables, filled, shown.mean, shown.std))
    for row in rows[: len(batch)]:
      best = np.argsort(-row, kind="stable")[:top].tolist()
      yield [Prediction(labels[i], float(row[i]), i) for i in best]


def _batches(
  pixels: Iterable[np.ndarray], batch_size: int
) -> Iterator[list[np.ndarray]]:
  """Yields lists of `batch_size` images, and of what is left."""
  batch = []
  for image in pixels:
    batch.append(image)
    if len(batch) == batch_size:
      yield batch
      batch = []
  if batch:
    yield batch


def _filled(batch: list[np.ndarray], batch_size: int) -> np.ndarray:
  """Returns a batch of a power of two, if below `batch_size`, with zeros.

  A size is compiled once: few sizes serve all lengths of lists.
  """
  size = min(1 << (len(batch) - 1).bit_length(), batch_size)
  filled = np.zeros((size, *batch[0].shape), batch[0].dtype)
  filled[: len(batch)] = batch
  return filled


@functools.lru_cache(maxsize=8)
def _probabilities(model: Any) -> Any:
  """Returns a compiled function from pixels to probabilities, [B, K]."""

  @jax.jit
  def run(variables, pixels, mean, std):
    images = normalization.normalize(pixels, mean=mean, std=std)
    logits: Any = model.apply(variables, images, train=False)
    return jax.nn.softmax(logits.astype(jnp.float32))

  return run
