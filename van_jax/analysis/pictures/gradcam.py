"""The picture of Grad-CAM: photographs, and each under its class's map."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from van_jax import bundle as bundle_lib, errors, models
from van_jax.analysis import drawing
from van_jax.analysis.inside import classes as classes_lib
from van_jax.analysis.inside.grad_cam import grad_cam
from van_jax.analysis.pictures.subject import (
  Request,
  class_name,
  read_images,
)


def draw_grad_cam(
  request: Request,
  *,
  image: Sequence[str],
  classes: Sequence[str] = (),
  stage: int = 4,
  count: int = 8,
) -> dict[str, Any]:
  """Draws Grad-CAM over photographs, of the likeliest class or of given ones.

  Args:
    request: weights and output.
    image: files, and folders of images.
    classes: names or numbers, a column each; none for the likeliest of each
      image.
    stage: whose map, 1 to 4.
    count: of images at the most.

  Returns:
    output, images, for each image its classes and their probabilities, stage,
    and how many positions its map has (down, across: with one, it tells nothing
    of where).

  Raises:
    UserError: bad input.
  """
  bundle = request.load()
  classes_lib.check_head(bundle.model)
  numbers = [_number(bundle, name) for name in classes]
  images = read_images(image, bundle.preprocessing, most=count)
  ranked = bundle_lib.predict(
    bundle, [*images.pixels], top=bundle.model.num_classes
  )
  columns = [[n] * len(ranked) for n in numbers] or [
    [found[0].index for found in ranked]
  ]
  rows = [[pixels] for pixels in images.pixels]
  captions = [[name] for name in images.names]
  for column in columns:
    maps = grad_cam(
      bundle.model,
      bundle.variables,
      images.normalised,
      classes=column,
      stage=stage,
    )
    for i, number in enumerate(column):
      rows[i].append(drawing.overlay(images.pixels[i], maps[i]))
      chance = next(p for p in ranked[i] if p.index == number).probability
      captions[i].append(f"{class_name(bundle, number)} {chance:.0%}")
  height, width = _positions(bundle.model, images.pixels.shape, stage)
  title = f"stage {stage}, {height} x {width}"
  titles = ["image", *[title] * len(columns)]
  figure = drawing.grid(rows, columns=titles, captions=captions)
  shown = [captions_of[1:] for captions_of in captions]
  return request.finish(
    figure,
    images=images.names,
    classes=shown,
    stage=stage,
    positions=[height, width],
  )


def _positions(
  model: models.VAN, shape: tuple[int, ...], stage: int
) -> tuple[int, int]:
  """Returns height and width of a stage's map of images of a shape."""
  maps = jax.eval_shape(
    functools.partial(model.apply, method="features"),
    models.variable_shapes(model),
    jax.ShapeDtypeStruct(shape, jnp.float32),
  )
  _, height, width, _ = maps[stage - 1].shape
  return height, width


def _number(bundle: bundle_lib.Bundle, name: str) -> int:
  """Returns the number of a class, by its name or by itself."""
  labels = bundle.labels or ()
  synonyms = [[part.strip() for part in label.split(",")] for label in labels]
  found = [i for i, names in enumerate(synonyms) if name in names]
  found += [i for i, label in enumerate(labels) if name == label]
  if len(set(found)) == 1:
    return found[0]
  number = int(name) if name.isdecimal() else -1
  if not 0 <= number < bundle.model.num_classes:
    several = f"stands for {sorted(set(found))}" if found else "is no class"
    raise errors.UserError(
      f"classes={name!r} {several}; name one of the weights' classes, or its "
      f"number, 0 to {bundle.model.num_classes - 1}."
    )
  return number
