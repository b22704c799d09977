"""From a bundle and photographs to the names of the likeliest classes."""

import functools
import os
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, NamedTuple, Never, cast, overload

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from van_jax import errors, models
from van_jax.bundle import few_sizes, mask_prediction
from van_jax.bundle.bundle import Bundle
from van_jax.data.images import normalization, preprocessing

# Images at once, of classifiers and of segmenters.
_PLAIN, _DENSE = 32, 4

AnImage = preprocessing.AnImage


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
def predict(  # Of Bundle[Any] alone, a file's: its model is not known before.
  bundle: Bundle[Never],
  image: AnImage | Iterable[AnImage],
  *,
  top: int | None = None,
  batch_size: int | None = None,
) -> Any: ...


@overload
def predict(
  bundle: Bundle[models.Segmenter],
  image: AnImage,
  *,
  batch_size: int | None = None,
) -> np.ndarray: ...


@overload
def predict(
  bundle: Bundle[models.Segmenter],
  image: Iterable[AnImage],
  *,
  batch_size: int | None = None,
) -> list[np.ndarray]: ...


@overload
def predict(
  bundle: Bundle[models.VAN],
  image: AnImage,
  *,
  top: int | None = None,
  batch_size: int | None = None,
) -> list[Prediction]: ...


@overload
def predict(
  bundle: Bundle[models.VAN],
  image: Iterable[AnImage],
  *,
  top: int | None = None,
  batch_size: int | None = None,
) -> list[list[Prediction]]: ...


def predict(
  bundle: Bundle[Any],
  image: AnImage | Iterable[AnImage],
  *,
  top: int | None = None,
  batch_size: int | None = None,
) -> np.ndarray | list[np.ndarray] | list[Prediction] | list[list[Prediction]]:
  """Returns the likeliest classes of an image, or a segmenter's mask of it.

    bundle = van_jax.load_bundle("bundles/van_b0")
    for label, probability, _ in van_jax.predict(bundle, "cat.jpg"):
      print(f"{probability:.1%} {label}")

    mask = van_jax.predict(van_jax.load_bundle("bundles/ade20k"), "street.jpg")

  Args:
    bundle: whose own preprocessing the image gets.
    image: a file's path, a PIL image, or uint8 [H, W, 3]; or several of them,
      a list for one, of any sizes.
    top: how many classes; None for five, or all where there are fewer. Of a
      classifier alone.
    batch_size: of several images, how many the model sees at once; None for 32,
      or 4 of a segmenter.

  Returns:
    of a classifier a list of `Prediction`, the likeliest first; of a segmenter
    uint8 [H, W], the number of a class for each pixel of the image at its own
    size, as evaluation without mirrored images or windows has it, and 255 where
    the logits have a NaN. Of several images a list of such.

  Raises:
    UserError: if the bundle has no classes, or an image cannot be read, or is
      too small for a segmenter.
  """
  if batch_size is not None and batch_size < 1:
    raise errors.UserError(f"batch_size={batch_size} must be at least 1.")
  several = isinstance(image, Iterable) and not isinstance(
    image, str | os.PathLike | Image.Image | np.ndarray
  )
  images = cast(Iterable[AnImage], image if several else [image])
  if isinstance(bundle.model, models.Segmenter):
    _check_no_top(bundle, top)
    masks = mask_prediction.predict_masks(bundle, images, batch_size or _DENSE)
    return masks if several else masks[0]
  number = _number(bundle, top)
  found = [*_predictions(bundle, images, number, batch_size or _PLAIN)]
  return found if several else found[0]


def _check_no_top(bundle: Bundle, top: int | None) -> None:
  if top is not None:
    raise errors.UserError(
      f"top={top} is a number of an image's classes, and bundle.task="
      f"{bundle.task} gives each pixel one; leave it out, or load a classifier."
    )


def _number(bundle: Bundle, top: int | None) -> int:
  """Returns how many classes are asked for."""
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
  bundle: Bundle[models.VAN],
  images: Iterable[AnImage],
  top: int,
  batch_size: int,
) -> Iterator[list[Prediction]]:
  classes = bundle.model.num_classes
  labels = bundle.labels or [f"class {i}" for i in range(classes)]
  shown = bundle.preprocessing
  run = _probabilities(cast(Hashable, bundle.model))
  pixels = (preprocessing.preprocess_image(image, shown) for image in images)
  for batch in _batches(pixels, batch_size):
    filled = few_sizes.filled(batch, batch_size)
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


@functools.lru_cache(maxsize=8)
def _probabilities(model: Any) -> Callable[..., jax.Array]:
  """Returns a compiled function from pixels to probabilities, [B, K]."""

  @jax.jit
  def run(variables, pixels, mean, std):
    images = normalization.normalize(pixels, mean=mean, std=std)
    logits: Any = model.apply(variables, images, train=False)
    return jax.nn.softmax(logits.astype(jnp.float32))

  return run
