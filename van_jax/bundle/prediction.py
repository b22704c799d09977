"""From a bundle and a photograph to the names of the likeliest classes."""

import functools
import os
from collections.abc import Hashable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from van_jax import errors
from van_jax.bundle.bundle import Bundle
from van_jax.data.images import normalization, preprocessing


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


def predict(
  bundle: Bundle,
  image: str | os.PathLike[str] | Image.Image | np.ndarray,
  *,
  top: int = 5,
) -> list[Prediction]:
  """Returns the likeliest classes of one image, the likeliest first.

    bundle = van_jax.load_bundle("bundles/van_b0")
    for label, probability, _ in van_jax.predict(bundle, "cat.jpg"):
      print(f"{probability:.1%} {label}")

  Args:
    bundle: whose own preprocessing the image gets.
    image: a file's path, a PIL image, or uint8 [H, W, 3].
    top: how many classes.

  Raises:
    UserError: if the bundle has no classes, or the image cannot be read.
  """
  classes = bundle.model.num_classes
  if not classes:
    raise errors.UserError(
      "bundle.model.num_classes=0: these weights give features, not classes; "
      "fine-tune them, or load a bundle of a classifier."
    )
  if not 1 <= top <= classes:
    raise errors.UserError(
      f"top={top} must be from 1 to num_classes={classes}."
    )
  pixels = preprocessing.preprocess_image(image, bundle.preprocessing)
  probabilities = np.asarray(
    _probabilities(cast(Hashable, bundle.model))(
      bundle.variables,
      pixels[None],
      bundle.preprocessing.mean,
      bundle.preprocessing.std,
    )
  )[0]
  labels = bundle.labels or [f"class {i}" for i in range(classes)]
  best = np.argsort(-probabilities, kind="stable")[:top].tolist()
  return [Prediction(labels[i], float(probabilities[i]), i) for i in best]


@functools.lru_cache(maxsize=8)
def _probabilities(model: Any) -> Any:
  """Returns a compiled function from pixels to probabilities, [B, K]."""

  @jax.jit
  def run(variables, pixels, mean, std):
    images = normalization.normalize(pixels, mean=mean, std=std)
    logits: Any = model.apply(variables, images, train=False)
    return jax.nn.softmax(logits.astype(jnp.float32))

  return run
