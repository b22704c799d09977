"""A picture of a step's training images, as the network sees them."""

import io
import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from van_jax import data, errors, places, storage, tasks
from van_jax.analysis import drawing
from van_jax.data import class_colors
from van_jax.data.images import grid, normalization
from van_jax.experiment import (
  config_check,
  misfits,
  parts,
  recipe_task,
  section_table,
  sections,
)
from van_jax.experiment.sections import Config
from van_jax.interop.facts import imagenet
from van_jax.training import step as step_lib

_COUNT = 64
_SMALLEST = 0.005  # Weights below it would be captioned as 0.00.


def draw_preview(
  config: Config,
  *,
  output: str,
  count: int | None = None,
  step: int = 0,
  overwrite: bool = False,
) -> dict[str, Any]:
  """Draws the first images of a step's batch with their targets below.

  The images went through all that training does to them, mixing and erasing
  too, with the draws of that very step; only normalisation is undone, and
  noise beyond black and white is clipped. A caption has the weights that
  mixing gave to the classes, without label smoothing's part. Images with masks
  lie under their classes' colours, and captions have the parts of the pixels.

  Args:
    config: as `configs/default.py` describes; its model is not built.
    output: a PNG file; its folder is made.
    count: of the images, at most `config.batch_size`; None draws 64, or the
      whole batch if it is smaller.
    step: updates done before, from 0.
    overwrite: whether `output` may be there already.

  Returns:
    output, count and step.

  Raises:
    UserError: bad input, before any image is read.
  """
  config_check.check_config(config)
  if count is None:
    count = min(_COUNT, config.batch_size)
  _check_counts(config, count, step)
  path = places.check_file(
    output, "output", kinds=(".png",), overwrite=overwrite
  )
  source = sections.build(config, "data", eval_split=None)
  task = recipe_task.create_task(config)
  _check_classes(config, task)
  misfits.check_source(config, source, task)
  parts.start_devices(config)
  images, targets = _prepared(config, task, source, count, step)
  names = readable_names(source.class_names)
  if section_table.has_masks(config):
    images, targets = _under_masks(images, targets, source)
    smoothing = 0.0
  else:
    smoothing = config.mixing.label_smoothing
  captions = [caption(target, names, smoothing) for target in targets]
  content = io.BytesIO()
  grid.draw(images, captions).save(content, "PNG")
  with storage.replacing(path) as draft:
    draft.write_bytes(content.getvalue())
  return {"output": os.fspath(path), "count": count, "step": step}


def caption(target: np.ndarray, names: Sequence[str], smoothing: float) -> str:
  """Returns classes by falling weight: "0.73 tench + 0.27 goldfish".

  Args:
    target: [K], smoothed and mixed; sums to 1.
    names: [K].
    smoothing: the part of the target that is spread over all classes.
  """
  weights = (target - smoothing / len(target)) / (1 - smoothing)
  shown = [k for k in np.argsort(-weights) if weights[k] >= _SMALLEST]
  return " + ".join(f"{weights[k]:.2f} {names[k]}" for k in shown)


def readable_names(names: Sequence[str]) -> list[str]:
  """Returns each name's first synonym; WordNet's ids are looked up."""
  table = dict(zip(imagenet.wordnet_ids(), imagenet.labels(), strict=True))
  return [table.get(name, name).split(",")[0].strip() for name in names]


def _prepared(
  config: Config, task: tasks.Task, source: data.Source, count: int, step: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns images uint8 [count, H, W, 3] and targets, masks or [count, K]."""
  batch = next(iter(parts.train_batches(config, source, step)))

  @jax.jit
  def prepare(batch):  # All of it: partners come from its other end.
    key = jax.random.key(config.seed)
    images, targets = step_lib.prepared(task.prepare, key, batch, step)
    images = normalization.denormalize(
      images[:count],
      mean=config.preprocessing.mean,
      std=config.preprocessing.std,
    )
    return images, targets[:count]

  images, targets = jax.device_get(prepare(batch))
  return images, targets


def _under_masks(
  images: np.ndarray, masks: np.ndarray, source: data.Source
) -> tuple[np.ndarray, np.ndarray]:
  """Returns images under their masks, and each class's part, [count, K]."""
  classes = source.num_classes
  colors = source.class_colors or class_colors.default(classes)
  masks = masks.astype(np.uint8)
  shown = [
    drawing.mask_overlay(image, mask, colors)
    for image, mask in zip(images, masks, strict=True)
  ]
  counts = [np.bincount(mask.ravel(), minlength=256) for mask in masks]
  return np.stack(shown), np.stack(counts)[:, :classes] / masks[0].size


def _check_classes(config: Config, task: tasks.Task) -> None:
  if task.classes is None:
    raise errors.UserError(
      f"task.name={config.task.name!r} must be one of classes: a preview has "
      "their names and weights below the images."
    )


def _check_counts(config: Config, count: int, step: int) -> None:
  if not 1 <= count <= config.batch_size:
    raise errors.UserError(
      f"count={count} must be from 1 to batch_size={config.batch_size}, the "
      "images of one step."
    )
  if not 0 <= step < 1 << 31:
    raise errors.UserError(
      f"step={step} must be from 0 to {(1 << 31) - 1}: the updates done before "
      "the one whose images are drawn."
    )
