"""A run's weights, tried on its evaluation split for a report."""

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from van_jax import analysis, data, errors, storage
from van_jax.analysis import report as report_lib
from van_jax.analysis.report import Examined, Picture, Run
from van_jax.bundle import Bundle
from van_jax.data.images import centre_crop, normalization
from van_jax.evaluation import answer_files
from van_jax.evaluation.answers import NO_ANSWER
from van_jax.experiment import (
  evaluation,
  own_config,
  section_table,
  sections,
  weights,
)
from van_jax.training.run import workdir as workdir_lib

# In a workdir, as eval.py --predictions writes it.
PREDICTIONS = "predictions.csv"
_STRIDES = (4, 8, 16, 32)  # Of the stages.
_SMALLEST = 4  # Cells a side of a map in which one sees where.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
  """What a report is to show of each run.

  Attributes:
    images: with maps, half of them wrong answers; of 0 nothing is scored.
    step: of the checkpoint: "latest", "best" or a number.
    data_directory: in place of the config's; None for that.
  """

  images: int
  step: str = "latest"
  data_directory: str | None = None


def examine(run: Run, request: Request) -> Examined:
  """Returns what a run's weights answer; where they cannot, why not.

  A file of predictions in the workdir stands for scoring all images again.

  Args:
    run: of the report.
    request: what is to be shown.
  """
  found = Examined(missing="Not scored, as --images=0 says.")
  try:
    given = storage.absolute(run.workdir) / PREDICTIONS
    if given.exists():
      read = answer_files.read_predictions(
        os.fspath(given), run.class_names or None
      )
      found = _examined(read, f"Answers of {PREDICTIONS} in the workdir.")
    if request.images and found.answers is None:
      found = _scored(run, request)
    if request.images:
      found = _with_pictures(run, found, request)
  except (errors.UserError, OSError) as error:
    reason = " ".join(str(error).split())
    what = "Not scored" if found.answers is None else "No pictures"
    logging.warning("%s: %s: %s", run.name, what, reason)
    return dataclasses.replace(found, missing=f"{what}: {reason}")
  return found


def _examined(read: answer_files.Predictions, origin: str) -> Examined:
  return Examined(
    answers=read.answers, names=read.names, images=read.images, origin=origin
  )


def _scored(run: Run, request: Request) -> Examined:
  """Returns the answers to all images, as eval.py gives them."""
  checkpoint, where = _weights_of(run)
  logging.info("%s: scoring its evaluation split.", run.name)
  with tempfile.TemporaryDirectory(prefix="van_jax_") as folder:
    table, scores = (os.path.join(folder, f) for f in (PREDICTIONS, "all.json"))
    evaluation.evaluate(
      checkpoint=checkpoint,
      step=_step(checkpoint, run, request),
      data_directory=request.data_directory,
      predictions=table,
      output=scores,
    )
    names = storage.read_json(scores)["class_names"]
    read = answer_files.read_predictions(table, names or None)
  config = own_config.read(checkpoint)
  return _examined(
    read, f"Of {where}, on {config.data.name}'s {config.data.eval_split}."
  )


def _weights_of(run: Run) -> tuple[str, str]:
  """Returns the folder to load a run's weights from, and what it is."""
  if not run.saved and run.bundle is None:
    raise errors.UserError("there is no checkpoint yet, and no bundle.")
  folder, what = run.workdir, "its checkpoints"
  if not run.saved:
    place = storage.absolute(run.workdir) / workdir_lib.BUNDLE
    folder, what = os.fspath(place), "its bundle"
  if section_table.has_masks(own_config.read(folder)):
    raise errors.UserError(
      "its answers are masks, which python -m van_jax.analysis.masks draws."
    )
  return folder, what


def _step(checkpoint: str, run: Run, request: Request) -> str:
  """Returns the step to load; a bundle has one only."""
  return request.step if checkpoint == run.workdir else "latest"


def _with_pictures(run: Run, found: Examined, request: Request) -> Examined:
  """Returns answers with some of the images, and maps over them."""
  answers = found.answers
  assert answers is not None
  checkpoint, where = _weights_of(run)
  config = own_config.read(checkpoint)
  own_config.set_data(
    config, {"name": None, "directory": request.data_directory}
  )
  own_config.check_imports(config)
  source = sections.build(config, "data", train_split=None)
  if len(answers.labels) != source.num_eval:
    raise errors.UserError(
      f"{PREDICTIONS} is of {len(answers.labels):,} images, and the data has "
      f"{source.num_eval:,}; write it anew with eval.py."
    )
  chosen = report_lib.choose(answers, request.images)
  if not chosen:
    raise errors.UserError("no image has a class.")
  bundle = weights.load_weights(
    checkpoint,
    step=_step(checkpoint, run, request),
    averaged=config.evaluation.averaged_weights,
  )
  step = (bundle.source or {}).get("step")
  origin = f"{found.origin} Maps: {where}, step {step}."
  pictures, missing = _pictures(bundle, source, found, chosen)
  return dataclasses.replace(
    found, pictures=pictures, origin=origin, missing=missing
  )


def _pictures(
  bundle: Bundle,
  source: data.Source,
  found: Examined,
  chosen: Sequence[int],
) -> tuple[list[Picture], str]:
  """Returns the chosen images with maps, and which maps there are not."""
  assert source.evaluation is not None
  pixels = np.stack(
    [_pixels(source.evaluation, i, bundle.preprocessing) for i in chosen]
  )
  shown = bundle.preprocessing
  images = normalization.normalize(
    jnp.asarray(pixels), mean=shown.mean, std=shown.std
  )
  assert found.answers is not None
  predicted = found.answers.classes[chosen, 0]
  maps: dict[str, np.ndarray] = {}
  missing = []
  for name, look in (("Grad-CAM", _grad_cam), ("attention", _attention)):
    try:
      maps |= look(bundle, images, np.maximum(predicted, 0))
    except errors.UserError as error:
      missing.append(f"No {name}: {' '.join(str(error).split())}")
  if (predicted == NO_ANSWER).any():
    missing.append("Where there was no answer, Grad-CAM is of the first class.")
  pictures = [
    Picture(
      index=index,
      name=found.images[index],
      image=pixels[i],
      maps={title: heat[i] for title, heat in maps.items()},
    )
    for i, index in enumerate(chosen)
  ]
  return pictures, " ".join(missing)


def _pixels(split: Any, index: int, shown: data.Preprocessing) -> np.ndarray:
  """Returns an image as the network sees it, uint8 [S, S, 3]."""
  _, handle = next(iter(split.sequence(index, index + 1)))
  encoded = split.fetch(handle)["image"]
  return centre_crop.preprocess(encoded.numpy(), shown)


def _grad_cam(
  bundle: Bundle, images: jax.Array, predicted: np.ndarray
) -> dict[str, np.ndarray]:
  """Returns Grad-CAM at the deepest stage that has some cells a side."""
  cells = [min(images.shape[1:3]) // stride for stride in _STRIDES]
  stage = max([n for n, c in enumerate(cells, 1) if c >= _SMALLEST], default=1)
  found = analysis.grad_cam(
    bundle.model, bundle.variables, images, classes=predicted, stage=stage
  )
  return {f"Grad-CAM, stage {stage}": found}


def _attention(
  bundle: Bundle, images: jax.Array, predicted: np.ndarray
) -> dict[str, np.ndarray]:
  """Returns the maps of the deepest block that has some cells a side."""
  del predicted
  found = analysis.attention_maps(bundle.model, bundle.variables, images)
  large = [name for name, m in found.items() if min(m.shape[1:]) >= _SMALLEST]
  name = large[-1] if large else next(iter(found))
  return {f"attention, {name}": found[name]}
